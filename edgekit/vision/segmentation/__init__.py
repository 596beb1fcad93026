"""Masks: what every pixel of a picture is, as files, as answers and drawn."""
