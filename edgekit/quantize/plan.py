"""Where Q/DQ pairs go: which layers become int8, which tensors are quantized, and who reads them so."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from edgekit.config.schemes import Scheme
from edgekit.errors import UsageError
from edgekit.graph.lint.graph import Graph, attribute, operand

LINEAR = ("Gemm", "MatMul")
LAYERS = ("Conv", *LINEAR)  # ConvTranspose has no int8 kernel in onnxruntime and one with other rules in TensorRT
WEIGHTED = (*LAYERS, "ConvTranspose")
ACTIVATIONS = ("Relu", "Clip")
# between a gate's layers and the Mul that it scales a map with
GATE = (*ACTIVATIONS, "HardSwish", "HardSigmoid", "Sigmoid", "Mul", "Reshape", "Squeeze", "Unsqueeze", "Transpose")
CARRIERS = ("MaxPool", "Resize")  # give values that they got, so that input and output share scale and zero point


@dataclass(frozen=True)
class QuantizableLayer:
    """A node that may become int8: a convolution, or a linear layer; a MatMul only with a constant matrix behind it.

    Attributes:
        name: of the node.
        axis: of the output channels in its weight.
        macs: multiplications of one picture.
    """

    name: str
    axis: int
    macs: int


@dataclass(frozen=True)
class QuantizationPlan:
    """Attributes:
    layers: the nodes that compute in int8, in order.
    whole: tensors that everybody reads quantized.
    edges: (tensor, node, index of its input) that are read quantized beside those.
    same: tensor -> the tensor whose scale and zero point it takes.
    """

    layers: tuple[QuantizableLayer, ...]
    whole: frozenset[str]
    edges: frozenset[tuple[str, str, int]]
    same: dict[str, str]

    @property
    def tensors(self) -> frozenset[str]:
        """All that are quantized."""
        return self.whole | {tensor for tensor, _, _ in self.edges}


def layers_of(model: onnx.ModelProto) -> tuple[QuantizableLayer, ...]:
    """The nodes that a scheme may make int8, in order, with what they cost."""
    graph = Graph(model)
    return tuple(layer for node in graph.nodes if (layer := _layer(graph, node)) is not None)


def plan(model: onnx.ModelProto, scheme: Scheme, keep: Collection[str] = ()) -> QuantizationPlan:
    """Decides for one graph and scheme.

    Nothing is quantized behind a net's last layers (decoding, softmax), nor what they give.

    Args:
        keep: names of nodes that stay in float.

    Raises:
        UsageError: `keep` names a node that is not there.
    """
    graph = Graph(model)
    unknown = sorted(set(keep) - {node.name for node in graph.nodes})
    if unknown:
        raise UsageError(
            "There are no such layers to keep in float.",
            got=", ".join(unknown[:5]),
            expected="names of nodes, such as " + ", ".join(layer.name for layer in layers_of(model)[:3]),
        )
    return _Planner(graph, scheme, frozenset(keep)).plan()


def _layer(graph: Graph, node: onnx.NodeProto) -> QuantizableLayer | None:
    if node.op_type not in LAYERS or node.domain not in ("", "ai.onnx") or len(node.output) != 1:
        return None
    weight = graph.constant(operand(node, 1))
    bias = operand(node, 2)
    if weight is None or (bias and graph.constant(bias) is None) or weight.dtype != np.float32:
        return None
    out = graph.shape(node.output[0]) or ()
    if node.op_type == "Conv":
        return QuantizableLayer(node.name, 0, int(weight.size) * _product(out[2:]))
    if node.op_type == "MatMul":
        return QuantizableLayer(node.name, 1, int(weight.size) * _product(out[1:-1])) if weight.ndim == 2 else None
    plain = attribute(node, "alpha", 1.0) == 1.0 and attribute(node, "beta", 1.0) == 1.0
    if not plain or attribute(node, "transA", 0):
        return None
    return QuantizableLayer(node.name, 0 if attribute(node, "transB", 0) else 1, int(weight.size))


def has_weights(graph: Graph, node: onnx.NodeProto) -> bool:
    """Whether a node is a layer.

    A product of two tensors, as in attention or where a detector's boxes are compared with one another, is none: it
    stands between layers, or behind them all.
    """
    if node.op_type not in WEIGHTED:
        return False
    return node.op_type not in LINEAR or any(_is_weight(graph, name) for name in node.input[:2])


def _is_weight(graph: Graph, tensor: str) -> bool:
    """Whether it is a constant, or computed from constants alone, as a dequantized one is."""
    if graph.is_constant(tensor):
        return True
    node = graph.producer(tensor)
    return node is not None and all(_is_weight(graph, name) for name in node.input if name) and bool(node.input)


def _product(sides: Sequence[int | None]) -> int:
    return int(np.prod([side or 1 for side in sides], dtype=np.int64))


class _Planner:
    def __init__(self, graph: Graph, scheme: Scheme, keep: frozenset[str]) -> None:
        self.graph = graph
        self.scheme = scheme
        self.keep = keep
        self.before = self._before_last()
        self.whole: set[str] = set()
        self.reads: dict[str, set[tuple[str, int]]] = defaultdict(set)
        self.same: dict[str, str] = {}

    def plan(self) -> QuantizationPlan:
        layers = []
        for node in self.graph.nodes:
            layer = _layer(self.graph, node)
            if layer is not None and node.name not in self.keep and self._worth(node):
                layers.append(layer)
        self.int8 = {layer.name for layer in layers}
        for node in self.graph.nodes:
            if node.name in self.int8:
                self._read(node, 0)
                # onnxruntime multiplies int8 matrices into float; a pair there would stand before the bias
                if self.scheme.outputs and node.name in self.before and node.op_type != "MatMul":
                    self.whole.add(self._activated(node))
        for node in reversed(self.graph.nodes):  # a node between layers is worth it where one behind it is int8
            if node.name not in self.before or node.name in self.keep:
                continue
            if node.op_type == "Add":
                (self._add_whole if self.scheme.outputs else self._add_skip)(node)
            elif node.op_type in CARRIERS and self.scheme.outputs:
                self._carry(node)
        edges = {(tensor, node, i) for tensor, found in self.reads.items() for node, i in found}
        return QuantizationPlan(tuple(layers), frozenset(self.whole), frozenset(edges), self.same)

    def _before_last(self) -> set[str]:
        """Names of the nodes behind which there is another layer."""
        wanted: set[str] = set()
        found: set[str] = set()
        for node in reversed(self.graph.nodes):
            if wanted & set(node.output):
                found.add(node.name)
                wanted.update(node.input)
            if has_weights(self.graph, node):
                wanted.update(name for name in node.input[:1])
        return found

    def _worth(self, node: onnx.NodeProto) -> bool:
        """A convolution without a quantized output would be computed in float by onnxruntime all the same.

        A gate costs next to nothing, and what it scales is only as exact as it is.
        """
        if self._gates(node):
            return False
        return not self.scheme.outputs or node.op_type in LINEAR or node.name in self.before

    def _gates(self, node: onnx.NodeProto) -> bool:
        """Whether it computes what a map is multiplied with, as in squeeze-excite (Hu et al. 2018, sec. 3)."""
        size = self._size(node.output[0])
        for reader in self.graph.consumers(node.output[0]):
            made = self._size(reader.output[0])
            if size is None or made is None:
                continue
            if reader.op_type == "Mul" and made > size and not any(map(self.graph.is_constant, reader.input)):
                return True
            pooled = reader.op_type in LAYERS and made == (self.graph.shape(reader.output[0]) or (0, 0))[1]
            if (pooled or (reader.op_type in GATE and made == size)) and self._gates(reader):
                return True
        return False

    def _size(self, tensor: str) -> int | None:
        """Numbers of one picture; None where that is not known."""
        shape = self.graph.shape(tensor)
        return None if shape is None or any(side is None for side in shape[1:]) else _product(shape[1:])

    def _read(self, node: onnx.NodeProto, index: int) -> None:
        self.reads[node.input[index]].add((node.name, index))

    def _activated(self, node: onnx.NodeProto) -> str:
        """The node's output, or that of the activation that alone reads it."""
        output: str = node.output[0]
        readers = self.graph.consumers(output)
        if len(readers) == 1 and readers[0].op_type in ACTIVATIONS and not self.graph.is_output(output):
            return str(readers[0].output[0])
        return output

    def _maker(self, tensor: str) -> onnx.NodeProto | None:
        """The node that makes a tensor, seen through its activation."""
        node = self.graph.producer(tensor)
        while node is not None and node.op_type in ACTIVATIONS:
            node = self.graph.producer(operand(node, 0))
        return node

    def _left_float(self, tensor: str) -> bool:
        """Whether it comes from a layer that stays in float, whose exactness would be lost again."""
        maker = self._maker(tensor)
        return maker is not None and maker.op_type in WEIGHTED and maker.name not in self.int8

    def _adds_two(self, node: onnx.NodeProto) -> bool:
        shapes = [self.graph.shape(name) for name in node.input]
        constant = any(self.graph.is_constant(name) for name in node.input)
        return not constant and len(shapes) == 2 and shapes[0] is not None and shapes[0] == shapes[1]

    def _add_whole(self, node: onnx.NodeProto) -> None:
        """onnxruntime adds in int8 where both inputs and the output are quantized."""
        output = self._activated(node)
        if not self._adds_two(node) or not self.reads[output] or any(map(self._left_float, node.input)):
            return
        self._read(node, 0)
        self._read(node, 1)
        self.whole.add(output)

    def _add_skip(self, node: onnx.NodeProto) -> None:
        """TensorRT fuses the Add into the int8 layer that alone feeds it: quantize what comes in from the side."""
        if not self._adds_two(node):
            return
        fused = [i for i in (0, 1) if self._feeds_alone(node.input[i])]
        if not fused:
            return
        # of two layers, the one with more before it is the residual branch, the other the shortcut
        main = max(fused, key=lambda i: self._depth(node.input[i]))
        skip = 1 - main
        if not self._left_float(node.input[skip]):
            self._read(node, skip)

    def _feeds_alone(self, tensor: str) -> bool:
        maker = self.graph.producer(tensor)
        return maker is not None and maker.name in self.int8 and len(self.graph.consumers(tensor)) == 1

    def _depth(self, tensor: str) -> int:
        """Nodes on the longest way to a tensor."""
        depths: dict[str, int] = {}
        for node in self.graph.nodes:
            deepest = max((depths.get(name, 0) for name in node.input), default=0)
            depths.update(dict.fromkeys(node.output, deepest + 1))
            if tensor in depths:
                break
        return depths.get(tensor, 0)

    def _carry(self, node: onnx.NodeProto) -> None:
        output = node.output[0]
        mode = attribute(node, "mode", b"nearest")
        if node.op_type == "Resize" and mode != b"nearest":
            return
        if len(node.output) > 1 or not self.reads[output] or self.graph.is_output(output):
            return
        self._read(node, 0)
        self.whole.add(output)
        self.same[output] = node.input[0]


def consumers_of(plan: QuantizationPlan, graph: Graph) -> Iterator[tuple[str, onnx.NodeProto, int]]:
    """(tensor, node, index of its input) for every edge that reads a quantized tensor."""
    for node in graph.nodes:
        for i, name in enumerate(node.input):
            if name in plan.whole or (name, node.name, i) in plan.edges:
                yield name, node, i
