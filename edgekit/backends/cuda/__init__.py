"""The little of CUDA that a runner needs. No torch."""
