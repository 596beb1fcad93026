"""Where frames come from: files, cameras, streams, and the thread that hands on the newest."""
