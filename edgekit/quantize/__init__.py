"""int8 and fp16 as properties of the graph: calibrated on real pictures, placed per scheme, kept within a budget."""
