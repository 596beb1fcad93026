"""From a torch module to a checked ONNX graph. Importing this package imports nothing heavy."""
