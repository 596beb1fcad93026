"""What a net in training is measured on, and the pictures that are drawn of it."""
