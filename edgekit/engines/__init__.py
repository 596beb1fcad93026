"""From a verified ONNX to an engine of TensorRT: built, proven on the device, refused where it cannot be."""
