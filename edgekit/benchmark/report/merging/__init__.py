"""Reports of several machines on one page."""
