"""From what is in each frame to who went where."""
