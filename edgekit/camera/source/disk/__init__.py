"""Pictures and videos on disk: which files, in which order, each frame at its own time."""
