"""The first convolution's input, laid out so that onnxruntime copies long rows: the same integers, much sooner.

onnxruntime's int8 convolution copies what each output reads, one place of the kernel after the other. Where a picture
has three channels that is three bytes a copy, 49 copies for each output of a ResNet's 7x7, and they take longer than
the multiplications: on a processor with AMX 25 of 63 ms of a CenterNet-R18 at 512. Here the graph does it for all
outputs at once: blocks of stride x stride pixels become channels, and the blocks beside one another that a row of the
kernel reads become more channels, so that four copies of 48 bytes remain. The products are those of before, and some of
zeros.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import helper, numpy_helper

from edgekit.graph.lint.graph import Graph
from edgekit.graph.passes.base import Pass

CHANNELS = 4  # more than these are rows that are long enough


@dataclass(frozen=True)
class _Stem:
    """What is rewritten: Q, DQ, Conv, and where there is one the transpose to NCHW in front of them."""

    conv: str
    quantize: onnx.NodeProto
    dequantize: str
    transpose: onnx.NodeProto | None
    weight: str
    size: tuple[int, int]  # of the input, height and width
    outputs: tuple[int, int]
    strides: tuple[int, int]
    pads: tuple[int, int]  # above and left


class LongRows(Pass):
    """Lays out what int8 convolutions of a few channels read, once for all outputs; every answer stays as it was.

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


def _stem(graph: Graph, conv: onnx.NodeProto) -> _Stem | None:
    """A convolution of few channels with all that must be known of it, or None."""
    dequantize = graph.producer(conv.input[0], "DequantizeLinear")
    quantize = graph.producer(dequantize.input[0], "QuantizeLinear") if dequantize is not None else None
    weights = graph.producer(conv.input[1], "DequantizeLinear")
    if dequantize is None or quantize is None or weights is None:
        return None
    stored = graph.initializers.get(weights.input[0])
    size, outputs = graph.shape(conv.input[0]), graph.shape(conv.output[0])
    if stored is None or size is None or outputs is None or None in size[1:] or None in outputs[1:]:
        return None
    given = {a.name: helper.get_attribute_value(a) for a in conv.attribute}
    kernel, strides = tuple(stored.dims[2:]), tuple(given.get("strides", (1, 1)))
    known = given.get("auto_pad", b"NOTSET") == b"NOTSET" and set(given.get("dilations", ())) <= {1}
    alone = all(
        len(graph.consumers(name)) == 1 and not graph.is_output(name)
        for name in (conv.input[0], dequantize.input[0], conv.input[1], stored.name)
    )
    of_one_range = all(not graph.shape(name) for name in quantize.input[1:])
    few = (
        (len(size), len(kernel)) == (4, 2)
        and stored.dims[1] == size[1]
        and stored.dims[1] <= CHANNELS
        and all(k > s for k, s in zip(kernel, strides, strict=True))
    )
    if not (known and alone and of_one_range and few and quantize.input[1:] == dequantize.input[1:]):
        return None
    transpose = graph.producer(quantize.input[0], "Transpose")
    if transpose is not None and (
        list(helper.get_attribute_value(transpose.attribute[0])) != [0, 3, 1, 2]
        or len(graph.consumers(quantize.input[0])) > 1
    ):
        transpose = None
    above, left = tuple(given.get("pads", (0, 0, 0, 0)))[:2]
    height, width, down, across = (int(n or 0) for n in (*size[2:], *outputs[2:]))
    return _Stem(
        conv.name, quantize, dequantize.name, transpose, stored.name, (height, width), (down, across), strides,
        (above, left),
    )  # fmt: skip


def _rewrite(model: onnx.ModelProto, stem: _Stem) -> None:
    graph = model.graph
    named = {node.name: node for node in graph.node}
    conv, dequantize = named[stem.conv], named[stem.dequantize]
    stored = next(tensor for tensor in graph.initializer if tensor.name == stem.weight)
    weight = numpy_helper.to_array(stored)
    (s, r), channels = stem.strides, weight.shape[1]
    down, across = (-(-k // step) for k, step in zip(weight.shape[2:], stem.strides, strict=True))  # in blocks
    rows, columns = stem.outputs[0] - 1 + down, stem.outputs[1] - 1 + across  # of blocks
    below, right = s * rows - stem.size[0] - stem.pads[0], r * columns - stem.size[1] - stem.pads[1]  # below 0 it cuts
    starts = np.arange(stem.outputs[1])[:, None] + np.arange(across)
    nodes: list[onnx.NodeProto] = []

    def constant(name: str, values: ArrayLike) -> str:
        graph.initializer.append(numpy_helper.from_array(np.array(values, np.int64), f"{conv.name}.{name}"))
        return f"{conv.name}.{name}"

    def add(op: str, name: str, *inputs: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(op, inputs, [f"{conv.name}.{name}"], f"{conv.name}.{name}", **attributes))
        return f"{conv.name}.{name}"

    value = stem.quantize.input[0] if stem.transpose is None else stem.transpose.input[0]
    value = add("QuantizeLinear", "whole", value, *stem.quantize.input[1:])
    if stem.transpose is None:
        value = add("Transpose", "last", value, perm=[0, 2, 3, 1])
    ends = constant("ends", [0, *stem.pads, 0, 0, below, right, 0])
    value = add("Pad", "padded", value, ends, stem.quantize.input[2])
    value = add("Reshape", "split", value, constant("split_to", [0, rows, s, columns, r, channels]))
    value = add("Transpose", "together", value, perm=[0, 1, 3, 2, 4, 5])
    value = add("Reshape", "blocks", value, constant("blocks_to", [0, rows, columns, s * r * channels]))
    value = add("Gather", "beside", value, constant("starts", starts), axis=2)
    long = [0, rows, stem.outputs[1], across * s * r * channels]
    value = add("Reshape", "gathered", value, constant("gathered_to", long))
    dequantize.input[0] = add("Transpose", "first", value, perm=[0, 3, 1, 2])

    stored.CopyFrom(numpy_helper.from_array(_weight(weight, (down, across), stem.strides), stored.name))
    kept = [a for a in conv.attribute if a.name not in ("pads", "strides", "kernel_shape")]
    changed = {"pads": [0, 0, 0, 0], "strides": [1, 1], "kernel_shape": [down, 1]}
    kept += [helper.make_attribute(name, value) for name, value in changed.items()]
    del conv.attribute[:]
    conv.attribute.extend(kept)

    gone = {stem.quantize.name} | ({stem.transpose.name} if stem.transpose is not None else set())
    there = [node for node in graph.node if node.name not in gone]
    at = next(i for i, node in enumerate(there) if node.name == stem.dequantize)
    there = [onnx.NodeProto.FromString(n.SerializeToString()) for n in (*there[:at], *nodes, *there[at:])]
    del graph.node[:]
    graph.node.extend(there)


def _weight(weight: NDArray[np.int8], taps: tuple[int, int], strides: tuple[int, int]) -> NDArray[np.int8]:
    """[O, C, kh, kw] as [O, taps across * block * C, taps down, 1], with zeros where the kernel has no weight."""
    outputs, channels = weight.shape[:2]
    (down, across), (s, r) = taps, strides
    whole = np.zeros((outputs, channels, down * s, across * r), weight.dtype)
    whole[:, :, : weight.shape[2], : weight.shape[3]] = weight
    split = whole.reshape(outputs, channels, down, s, across, r)
    return np.ascontiguousarray(split.transpose(0, 4, 3, 5, 1, 2)).reshape(outputs, -1, down, 1)
