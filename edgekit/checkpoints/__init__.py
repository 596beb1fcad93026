"""Checkpoints, ours and from elsewhere: no code of theirs is run, what they say of themselves counts. Needs torch."""
