"""What is in a data set, and what is wrong with it: all of its splits side by side."""
