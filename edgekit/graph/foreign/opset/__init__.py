"""The opset of a foreign graph: what a node must be at one, and what changes on the way to another."""
