"""The runtime beside the hive: from a camera's frames to events about who came. No torch."""
