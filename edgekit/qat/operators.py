"""What torch computes for an ONNX node: the operators between the layers of convolutional nets.

Each function takes the node and its inputs, a tensor or, of a constant, an array; the semantics are those of the ONNX
operator specification, opset 18 to 21.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor
from torch.nn import functional

from edgekit.errors import UsageError
from edgekit.graph.lint.graph import attribute

Operator = Callable[[onnx.NodeProto, Sequence[Any]], Tensor]


def conv(node: onnx.NodeProto, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Conv in two dimensions, padded with zeros, on either side differently too."""
    if attribute(node, "auto_pad", b"NOTSET") not in (b"NOTSET", b"") or weight.ndim != 4:
        raise not_known(node, "a convolution that is not two-dimensional, or padded by name")
    top, left, bottom, right = attribute(node, "pads", [0, 0, 0, 0])
    padding: Any = (top, left)
    if (top, left) != (bottom, right):
        x, padding = functional.pad(x, (left, right, top, bottom)), 0
    strides, dilations = (list(attribute(node, name, [1, 1])) for name in ("strides", "dilations"))
    return functional.conv2d(x, weight, bias, strides, padding, dilations, attribute(node, "group", 1))


def linear(node: onnx.NodeProto, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """MatMul, or Gemm without alpha, beta and transA."""
    if node.op_type == "MatMul":
        return x @ weight
    if (attribute(node, "alpha", 1.0), attribute(node, "beta", 1.0), attribute(node, "transA", 0)) != (1.0, 1.0, 0):
        raise not_known(node, "a Gemm with alpha, beta or transA")
    return functional.linear(x, weight if attribute(node, "transB", 0) else weight.T, bias)


LAYERS: dict[str, Callable[[onnx.NodeProto, Tensor, Tensor, Tensor | None], Tensor]] = {
    "Conv": conv,
    "Gemm": linear,
    "MatMul": linear,
}


def not_known(node: onnx.NodeProto, what: str) -> UsageError:
    """The refusal of a node that nothing here computes."""
    return UsageError(
        "This net cannot be trained quantized.",
        got=f"{what}: node {node.name}",
        expected="a net of " + ", ".join(sorted({*LAYERS, *OPERATORS})),
        fix="edgekit export --precision int8 --max-drop 1 gives the layers that cost most back to float",
    )


def _clip(node: onnx.NodeProto, inputs: Sequence[Any]) -> Tensor:
    low, high = (None if len(inputs) <= i or inputs[i] is None else float(inputs[i]) for i in (1, 2))
    return torch.clamp(inputs[0], low, high)


def _max_pool(node: onnx.NodeProto, inputs: Sequence[Any]) -> Tensor:
    pads = attribute(node, "pads", [0, 0, 0, 0])
    named = attribute(node, "auto_pad", b"NOTSET") not in (b"NOTSET", b"")
    if named or pads[:2] != pads[2:] or any(d != 1 for d in attribute(node, "dilations", [1, 1])):
        raise not_known(node, "a MaxPool that is padded unevenly or dilated")
    kernel, strides = attribute(node, "kernel_shape", [1, 1]), attribute(node, "strides", [1, 1])
    ceil = bool(attribute(node, "ceil_mode", 0))
    return functional.max_pool2d(inputs[0], list(kernel), list(strides), list(pads[:2]), ceil_mode=ceil)


def _average_pool(node: onnx.NodeProto, inputs: Sequence[Any]) -> Tensor:
    pads = attribute(node, "pads", [0, 0, 0, 0])
    if attribute(node, "auto_pad", b"NOTSET") not in (b"NOTSET", b"") or pads[:2] != pads[2:]:
        raise not_known(node, "an AveragePool that is padded unevenly")
    kernel, strides = attribute(node, "kernel_shape", [1, 1]), attribute(node, "strides", [1, 1])
    counted, ceil = bool(attribute(node, "count_include_pad", 0)), bool(attribute(node, "ceil_mode", 0))
    return functional.avg_pool2d(inputs[0], list(kernel), list(strides), list(pads[:2]), ceil, counted)


def _mean(node: onnx.NodeProto, inputs: Sequence[Any]) -> Tensor:
    axes = [int(i) for i in np.ravel(inputs[1])] if len(inputs) > 1 else list(attribute(node, "axes", []))
    return inputs[0].mean(axes or None, keepdim=bool(attribute(node, "keepdims", 1)))  # type: ignore[no-any-return]


def _reshape(node: onnx.NodeProto, inputs: Sequence[Any]) -> Tensor:
    x: Tensor = inputs[0]
    if not isinstance(inputs[1], np.ndarray):
        raise not_known(node, "a Reshape to a computed shape")
    asked = [int(side) for side in inputs[1]]
    if not attribute(node, "allowzero", 0):
        asked = [x.shape[i] if side == 0 else side for i, side in enumerate(asked)]
    return x.reshape(asked)


def _flatten(node: onnx.NodeProto, inputs: Sequence[Any]) -> Tensor:
    if attribute(node, "axis", 1) != 1:
        raise not_known(node, "a Flatten of another axis than 1")
    return torch.flatten(inputs[0], 1)


def _resize(node: onnx.NodeProto, inputs: Sequence[Any]) -> Tensor:
    scales = inputs[2] if len(inputs) > 2 else None
    wanted = (attribute(node, "mode", b"nearest"), attribute(node, "coordinate_transformation_mode", b"half_pixel"))
    sizes = np.ravel(scales) if isinstance(scales, np.ndarray) else np.zeros(0)
    if wanted != (b"nearest", b"asymmetric") or sizes.size != 4 or (sizes != np.rint(sizes)).any():
        raise not_known(node, "a Resize other than to the nearest by whole factors")
    factors = [float(scale) for scale in sizes[2:]]
    return functional.interpolate(inputs[0], scale_factor=factors, mode="nearest")


def _squeezed(node: onnx.NodeProto, inputs: Sequence[Any]) -> Tensor:
    x: Tensor = inputs[0]
    for axis in sorted((int(i) % x.ndim for i in np.ravel(inputs[1])), reverse=True):
        x = x.squeeze(axis)
    return x


OPERATORS: dict[str, Operator] = {
    "Add": lambda node, x: x[0] + x[1],
    "AveragePool": _average_pool,
    "Cast": lambda node, x: x[0],  # pixels, which are floats here from the beginning
    "Clip": _clip,
    "Concat": lambda node, x: torch.cat(list(x), attribute(node, "axis", 0)),
    "Div": lambda node, x: x[0] / x[1],
    "Flatten": _flatten,
    "GlobalAveragePool": lambda node, x: x[0].mean((2, 3), keepdim=True),
    "Greater": lambda node, x: x[0] > x[1],
    "HardSigmoid": lambda node, x: torch.clamp(
        x[0] * attribute(node, "alpha", 0.2) + attribute(node, "beta", 0.5), 0, 1
    ),
    "HardSwish": lambda node, x: functional.hardswish(x[0]),
    "Identity": lambda node, x: x[0],
    "LeakyRelu": lambda node, x: functional.leaky_relu(x[0], attribute(node, "alpha", 0.01)),
    "MaxPool": _max_pool,
    "Mul": lambda node, x: x[0] * x[1],
    "ReduceMean": _mean,
    "Relu": lambda node, x: torch.relu(x[0]),
    "Reshape": _reshape,
    "Resize": _resize,
    "Sigmoid": lambda node, x: torch.sigmoid(x[0]),
    "Softplus": lambda node, x: functional.softplus(x[0]),
    "Squeeze": _squeezed,
    "Sub": lambda node, x: x[0] - x[1],
    "Transpose": lambda node, x: x[0].permute(list(attribute(node, "perm", range(x[0].ndim)[::-1]))),
    "Where": lambda node, x: torch.where(x[0], x[1], x[2]),
}
NUMBERS = ("Clip", "ReduceMean", "Reshape", "Resize", "Squeeze")  # whose constants are asked for as arrays
