"""TensorRT 10.3 to 11 and TensorRT-RTX: one way to find, call and understand them. The runner is `tensorrt_`."""
