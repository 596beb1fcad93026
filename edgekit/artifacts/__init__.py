"""What edgekit writes and reads back: ONNX files, engines, deployments. Whole or not there, never trusted unread."""
