"""What a measurement stood on: the processor, the board, its power, and how fast it was just then."""
