"""From maps to boxes: peaks, top K, and duplicates, as the graph has them."""
