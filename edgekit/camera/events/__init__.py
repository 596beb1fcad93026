"""From tracks to visits and counts."""
