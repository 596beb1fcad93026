"""How labelled pictures lie on disk. One file a layout."""
