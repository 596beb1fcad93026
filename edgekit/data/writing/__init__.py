"""Data sets written to disk. One file a layout."""
