"""A made hive entrance with bees and hornets, drawn in code."""
