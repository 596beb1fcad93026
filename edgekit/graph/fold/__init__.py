"""What folding knows of a torch net: what happens in one run of it, and which modules can take others in."""
