"""Each part of a running camera is watched by its own progress; what stands still is started again, then escalated."""
