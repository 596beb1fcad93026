"""Formats of tables: a row an object, of boxes or of runs of pixels."""
