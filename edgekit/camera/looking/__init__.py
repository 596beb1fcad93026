"""One camera's part of a process: its source, its rules, its loop. What cameras share is `runtime`'s."""
