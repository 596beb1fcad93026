"""One file a decoder."""
