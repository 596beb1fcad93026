"""Where in its input map a layer reads, and what it reads there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from edgekit.graph.lint.graph import Graph, attribute, operand
from edgekit.quantize.plan import layers_of

PLACES = 128  # of each picture and layer, spread over the map; more changed nothing that could be measured
MOST_INPUTS = 8192  # of a layer: the second moments of more do not fit, and it is rounded to the nearest


@dataclass(frozen=True)
class Geometry:
    """How a layer reads its input: what a convolution's attributes say, in numbers.

    Attributes:
        tensor: name of the input.
        kernel, strides, dilations: [kh, kw] each; a linear layer has 1 and 1.
        pads: top, left, bottom, right.
        inputs: K, the numbers one output is made of.
        groups: G, of a convolution.
    """

    tensor: str
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int, int, int]
    inputs: int
    linear: bool
    groups: int = 1

    def patches(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [P, K] of one picture's [C, h, w] or [..., K]: what is read at no more than `PLACES` places.

        [P, G, K] where there are groups.
        """
        if self.linear:
            rows = values.reshape(-1, self.inputs)
            chosen = np.unique(np.linspace(0, len(rows) - 1, min(PLACES, len(rows))).astype(int))
            return np.ascontiguousarray(rows[chosen])
        top, left, bottom, right = self.pads
        spans = [(k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True)]
        height = (values.shape[1] + top + bottom - spans[0]) // self.strides[0] + 1
        width = (values.shape[2] + left + right - spans[1]) // self.strides[1] + 1
        chosen = np.unique(np.linspace(0, height * width - 1, min(PLACES, height * width)).astype(int))
        down = self._read(chosen // width, 0) - top  # [P, kh], of the picture without its padding
        across = self._read(chosen % width, 1) - left  # [P, kw]
        inside = _within(down, values.shape[1])[:, :, None] & _within(across, values.shape[2])[:, None, :]
        down, across = down.clip(0, values.shape[1] - 1), across.clip(0, values.shape[2] - 1)
        picked = values[:, down[:, :, None], across[:, None, :]] * inside  # [C, P, kh, kw]
        groups = (self.groups,) if self.groups > 1 else ()
        return np.ascontiguousarray(picked.transpose(1, 0, 2, 3).reshape(len(chosen), *groups, -1))

    def _read(self, places: NDArray[np.intp], axis: int) -> NDArray[np.intp]:
        """Where along one axis of the padded map the outputs at `places` read it."""
        return np.asarray(places[:, None] * self.strides[axis] + np.arange(self.kernel[axis]) * self.dilations[axis])


def _within(places: NDArray[np.intp], size: int) -> NDArray[np.bool_]:
    return np.asarray((places >= 0) & (places < size))


def geometry_of(graph: Graph, node: onnx.NodeProto) -> Geometry | None:
    """None for a layer that is rounded to the nearest: padded by name, not two-dimensional, or too wide."""
    weight = graph.constant(operand(node, 1))
    if weight is None:
        return None
    tensor = operand(node, 0)
    inputs = weight.size // weight.shape[0]
    if node.op_type == "MatMul":
        fits = weight.ndim == 2 and len(weight) <= MOST_INPUTS
        return Geometry(tensor, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), len(weight), True) if fits else None
    if node.op_type == "Gemm":
        inputs = weight.size // weight.shape[0 if attribute(node, "transB", 0) else 1]
        plain = attribute(node, "transB", 0) and inputs <= MOST_INPUTS
        return Geometry(tensor, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), inputs, True) if plain else None
    named = attribute(node, "auto_pad", b"NOTSET") not in (b"NOTSET", b"")
    if weight.ndim != 4 or named or inputs > MOST_INPUTS:
        return None

    def pair(name: str) -> tuple[int, int]:
        first, second = attribute(node, name, [1, 1])
        return int(first), int(second)

    top, left, bottom, right = attribute(node, "pads", [0, 0, 0, 0])
    kernel = (int(weight.shape[2]), int(weight.shape[3]))
    pads, groups = (top, left, bottom, right), int(attribute(node, "group", 1))
    return Geometry(tensor, kernel, pair("strides"), pair("dilations"), pads, inputs, False, groups)


def geometries(model: onnx.ModelProto) -> dict[str, Geometry]:
    """How each layer that can be rounded well reads its input, by the layer's name."""
    graph = Graph(model)
    nodes = {node.name: node for node in graph.nodes}
    found = {layer.name: geometry_of(graph, nodes[layer.name]) for layer in layers_of(model)}
    return {name: geometry for name, geometry in found.items() if geometry is not None}
