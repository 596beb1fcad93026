"""The first int8 convolution reads blocks of pixels as channels: the same integers, sooner in onnxruntime.

onnxruntime's int8 convolution copies what each output reads, one place of the kernel after the other. Where a picture
has three channels that is three bytes a copy, 49 copies for each output of a ResNet's 7x7, and they take longer than
the multiplications. With the 2x2 pixels of a stride as 12 channels the same convolution has a 4x4 kernel of stride 1,
and 16 copies of 12 bytes. The products are those of before, and some of zeros.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgekit.graph.lint.graph import Graph
from edgekit.graph.passes.base import Pass

CHANNELS = 4  # more than these are rows that are long enough
BLOCKS = ".blocks"  # behind the convolution's name


@dataclass(frozen=True)
class _Axis:
    """Height or width: the kernel in blocks, with `before` taps of zeros in front, and blocks of padding."""

    taps: int
    before: int
    pads: tuple[int, int]


@dataclass(frozen=True)
class _Stem:
    """What is rewritten, by its names."""

    conv: str
    quantize: str
    weight: str
    stride: int
    axes: tuple[_Axis, _Axis]


class SpaceToDepth(Pass):
    """Puts a SpaceToDepth in front of int8 convolutions of a few channels with a stride; every answer stays the same.

    Only where it divides the input's size, which must be known; the kernel is larger than its stride.

    Requires: nothing.
    Ensures: a graph that onnx's checker accepts, with all types and shapes.
    """

    def requires(self, model: onnx.ModelProto) -> str:
        return ""

    def rewrite(self, model: onnx.ModelProto) -> bool:
        graph = Graph(model)
        stems = [found for conv in graph.of_type("Conv") if (found := _stem(graph, conv)) is not None]
        for stem in stems:
            _rewrite(model, stem)
        if stems:
            del model.graph.value_info[:]
            typed = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
            model.graph.value_info.extend(typed.graph.value_info)
        return bool(stems)

    def ensures(self, model: onnx.ModelProto) -> str:
        try:
            onnx.checker.check_model(model, full_check=True)
        except onnx.checker.ValidationError as error:
            return str(error)
        return ""


def blocks_for(model: onnx.ModelProto, backend: str) -> str:
    """What is to be said of a graph with such a convolution on another runtime than onnxruntime, or an empty string."""
    made = any(node.op_type == "SpaceToDepth" and node.name.endswith(BLOCKS) for node in model.graph.node)
    if not made or backend != "openvino":
        return ""
    return "its first convolution is as onnxruntime likes it; --target x86-openvino makes it as OpenVINO does"


def _stem(graph: Graph, conv: onnx.NodeProto) -> _Stem | None:
    """A convolution of few channels with all that must be known of it, or None."""
    dequantize = graph.producer(conv.input[0], "DequantizeLinear")
    quantize = graph.producer(dequantize.input[0], "QuantizeLinear") if dequantize is not None else None
    weights = graph.producer(conv.input[1], "DequantizeLinear")
    stored = graph.initializers.get(weights.input[0]) if weights is not None else None
    size, outputs = graph.shape(conv.input[0]), graph.shape(conv.output[0])
    if dequantize is None or quantize is None or stored is None or size is None or outputs is None:
        return None
    given = {a.name: helper.get_attribute_value(a) for a in conv.attribute}
    strides, pads = set(given.get("strides", (1, 1))), given.get("pads", (0, 0, 0, 0))
    plain = given.get("auto_pad", b"NOTSET") == b"NOTSET" and set(given.get("dilations", ())) <= {1}
    alone = all(
        len(graph.consumers(name)) == 1 and not graph.is_output(name)
        for name in (conv.input[0], dequantize.input[0], conv.input[1], stored.name)
    )
    of_one_range = all(not graph.shape(name) for name in quantize.input[1:])
    few = len(size) == 4 and stored.dims[1] == size[1] and stored.dims[1] <= CHANNELS
    if not (plain and alone and of_one_range and few and len(strides) == 1):
        return None
    stride = strides.pop()
    sides = zip(size[2:], outputs[2:], stored.dims[2:], pads[:2], strict=True)
    axes = [_axis(n, wanted, k, stride, before) for n, wanted, k, before in sides]
    if axes[0] is None or axes[1] is None:
        return None
    return _Stem(conv.name, quantize.name, stored.name, stride, (axes[0], axes[1]))


def _axis(size: int | None, outputs: int | None, kernel: int, stride: int, padded: int) -> _Axis | None:
    """One side in blocks of `stride`; None where it is not known or no whole number of blocks."""
    if size is None or outputs is None or not 1 < stride < kernel or size % stride:
        return None
    blocks = -(-padded // stride)
    before = blocks * stride - padded
    taps = -(-(before + kernel) // stride)
    return _Axis(taps, before, (blocks, outputs - 1 + taps - size // stride - blocks))


def _rewrite(model: onnx.ModelProto, stem: _Stem) -> None:
    graph = model.graph
    named = {node.name: node for node in graph.node}
    conv, quantize = named[stem.conv], named[stem.quantize]
    stored = next(tensor for tensor in graph.initializer if tensor.name == stem.weight)
    down, across = stem.axes
    name = f"{conv.name}{BLOCKS}"
    blocks = helper.make_node("SpaceToDepth", [quantize.input[0]], [name], name, blocksize=stem.stride)
    quantize.input[0] = name
    stored.CopyFrom(numpy_helper.from_array(_weight(numpy_helper.to_array(stored), stem), stored.name))
    kept = [a for a in conv.attribute if a.name not in ("pads", "strides", "kernel_shape")]
    pads = [down.pads[0], across.pads[0], down.pads[1], across.pads[1]]
    changed = {"pads": pads, "strides": [1, 1], "kernel_shape": [down.taps, across.taps]}
    kept += [helper.make_attribute(name, value) for name, value in changed.items()]
    del conv.attribute[:]
    conv.attribute.extend(kept)
    at = next(i for i, node in enumerate(graph.node) if node.name == stem.quantize)
    graph.node.insert(at, blocks)


def _weight(weight: NDArray[np.int8], stem: _Stem) -> NDArray[np.int8]:
    """[O, C, kh, kw] as [O, stride * stride * C, taps, taps], with zeros where the kernel has no weight."""
    (outputs, channels, height, width), n = weight.shape, stem.stride
    down, across = stem.axes
    whole = np.zeros((outputs, channels, down.taps * n, across.taps * n), weight.dtype)
    whole[:, :, down.before : down.before + height, across.before : across.before + width] = weight
    split = whole.reshape(outputs, channels, down.taps, n, across.taps, n)
    return np.ascontiguousarray(split.transpose(0, 3, 5, 1, 2, 4)).reshape(outputs, -1, down.taps, across.taps)
