"""Masks beside pictures, and masks drawn from the outlines of label files."""
