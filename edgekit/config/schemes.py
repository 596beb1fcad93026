"""The three ways to quantize a graph: what activations are, and where the runtime wants its Q/DQ pairs.

    int8-trt   TensorRT: signed, zero point 0, biases in float; a layer's output stays as it is and the runtime fuses
               bias, residual Add and ReLU into the int8 layer; on a residual Add only the skip edge is quantized
    int8-x86   onnxruntime and OpenVINO on x86: unsigned, with a zero point; int32 biases, and a pair on each layer's
               output, without which onnxruntime has no int8 kernel
    int8-arm   as int8-x86, signed

Weights are int8, symmetric, one scale per output channel, in all three. The table is here, far below what places the
pairs (`edgekit.quantize.place`), since targets and lint rules name a scheme too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from edgekit.errors import UsageError


@dataclass(frozen=True)
class Grid:
    """The integers of an activation.

    Attributes:
        low, high: smallest and largest integer.
        symmetric: whether zero point is 0.
    """

    low: int
    high: int
    symmetric: bool

    def parameters(self, low: float, high: float) -> tuple[float, int]:
        """Scale and zero point of the range low..high, which is widened to hold 0; a scale of 1 for an empty one."""
        low, high = min(low, 0.0), max(high, 0.0)
        if self.symmetric:
            peak = max(-low, high)
            return (peak / self.high if peak else 1.0), 0
        scale = (high - low) / (self.high - self.low)
        if not scale:
            return 1.0, self.low
        return scale, round(min(max(self.low - low / scale, self.low), self.high))


@dataclass(frozen=True)
class Scheme:
    """One line of the table.

    Attributes:
        grid: the integers of an activation.
        outputs: whether the outputs of layers, and Adds and poolings between them, are quantized too.
        quantized_bias: whether biases are int32.
        half_scales: whether scales are numbers that float16 has, so that a cast to float16 changes none.
        runtimes: what `edgekit.graph.lint` judges it by.
    """

    name: str
    grid: Grid
    outputs: bool
    quantized_bias: bool
    half_scales: bool
    runtimes: tuple[str, ...]


SCHEMES: dict[str, Scheme] = {
    s.name: s
    for s in (
        Scheme("int8-trt", Grid(-128, 127, True), False, False, True, ("tensorrt", "onnxruntime")),
        Scheme("int8-x86", Grid(0, 255, False), True, True, False, ("onnxruntime", "openvino")),
        Scheme("int8-arm", Grid(-128, 127, False), True, True, False, ("onnxruntime",)),
    )
}

if TYPE_CHECKING:
    SchemeName: TypeAlias = str  # a type checker can't read the table
else:
    SchemeName = Literal[tuple(SCHEMES)]


def scheme_named(name: str) -> Scheme:
    """Raises UsageError for a name that is not in `SCHEMES`."""
    if name not in SCHEMES:
        raise UsageError("Unknown quantization scheme.", got=name, expected="one of " + ", ".join(SCHEMES))
    return SCHEMES[name]
