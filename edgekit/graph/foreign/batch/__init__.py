"""The batch of a foreign graph: where it is written down, and what it takes to make it one of any size."""
