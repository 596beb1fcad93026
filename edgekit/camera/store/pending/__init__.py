"""What is still to be done: written to the disk, and taken by deliveries."""
