"""Quantization-aware fine-tuning: a net learns with the rounding of its own int8 graph."""
