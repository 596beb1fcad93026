"""Measuring: accuracy now."""
