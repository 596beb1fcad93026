"""One step after another: batches, what learns from them, and what each step gave."""
