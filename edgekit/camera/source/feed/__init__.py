"""Frames in a thread of their own, and what is done when they stop coming."""
