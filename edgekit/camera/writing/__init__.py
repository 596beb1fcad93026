"""What the output's thread takes, and how one camera's visits become complete events with pictures and clips."""
