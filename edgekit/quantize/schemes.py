"""The three ways to quantize a graph: what activations are, and where the runtime wants its Q/DQ pairs.

    int8-trt   TensorRT: signed, zero point 0, biases in float; a layer's output stays as it is and the runtime fuses
               bias, residual Add and ReLU into the int8 layer; on a residual Add only the skip edge is quantized
    int8-x86   onnxruntime and OpenVINO on x86: unsigned, with a zero point; int32 biases, and a pair on each layer's
               output, without which onnxruntime has no int8 kernel
    int8-arm   as int8-x86, signed

Weights are int8, symmetric, one scale per output channel, in all three.
"""

from __future__ import annotations

from dataclasses import dataclass

from onnx import TensorProto

from edgekit.errors import UsageError
from edgekit.quantize.observers import Grid


@dataclass(frozen=True)
class Scheme:
    """One line of the table.

    Attributes:
        grid: the integers of an activation.
        dtype: their ONNX type.
        outputs: whether the outputs of layers, and Adds and poolings between them, are quantized too.
        quantized_bias: whether biases are int32.
        half_scales: whether scales are numbers that float16 has, so that a cast to float16 changes none.
        runtimes: what `edgekit.graph.lint` judges it by.
    """

    name: str
    grid: Grid
    dtype: int
    outputs: bool
    quantized_bias: bool
    half_scales: bool
    runtimes: tuple[str, ...]


SCHEMES: dict[str, Scheme] = {
    s.name: s
    for s in (
        Scheme("int8-trt", Grid(-128, 127, True), TensorProto.INT8, False, False, True, ("tensorrt", "onnxruntime")),
        Scheme("int8-x86", Grid(0, 255, False), TensorProto.UINT8, True, True, False, ("onnxruntime", "openvino")),
        Scheme("int8-arm", Grid(-128, 127, False), TensorProto.INT8, True, True, False, ("onnxruntime",)),
    )
}


def scheme_named(name: str) -> Scheme:
    """Raises UsageError for a name that is not in `SCHEMES`."""
    if name not in SCHEMES:
        raise UsageError("Unknown quantization scheme.", got=name, expected="one of " + ", ".join(SCHEMES))
    return SCHEMES[name]
