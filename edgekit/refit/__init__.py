"""A detector's score layer, and a veto behind it, fitted to what a keeper said of visits; numpy and onnx alone."""
