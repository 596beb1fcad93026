"""Formats of rows: texts of each picture."""
