"""Which net a state dict is of, and how its names and shapes are brought to that net's own."""
