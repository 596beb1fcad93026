"""The last layer of a detector fitted again to what a keeper said of visits; numpy and onnx, on the device."""
