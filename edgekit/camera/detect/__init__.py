"""From a frame to what is in it, with whatever model there is."""
