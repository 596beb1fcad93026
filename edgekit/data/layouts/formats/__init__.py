"""What programs write: one file a format, each turning one label file into entries."""
