"""The one training loop, for every task, interruptible at any moment."""
