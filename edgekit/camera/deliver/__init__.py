"""Where events and frames go besides the store."""
