"""Norms over rows that are written out in single operators, as exporters do below opset 17.

LayerNorm (Ba et al. 2016, eq. 4) is (x - mean(x)) / sqrt(mean((x - mean(x))^2) + epsilon), RMSNorm (Zhang and Sennrich
2019, eq. 4) the same without the mean; a gain and a bias follow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from edgekit.graph.lint.graph import Graph, attribute, operand


@dataclass(frozen=True)
class WrittenNorm:
    """One of them.

    Attributes:
        nodes: names of its nodes, in the order of the file.
        tensor: x.
        axes: that the mean is over, as they are written.
        epsilon: what is added to the variance.
        centred: whether the mean is taken off; not in an RMSNorm.
        gain, bias: constants that follow, or empty.
        output: what it gives; empty where nothing divides by the root as above.
    """

    nodes: tuple[str, ...]
    tensor: str
    axes: tuple[int, ...]
    epsilon: float
    centred: bool
    gain: str = ""
    bias: str = ""
    output: str = ""


def written_norms(graph: Graph) -> list[WrittenNorm]:
    """All of a graph, in its order."""
    found = [_norm_of(graph, node) for node in graph.of_type("Sqrt", "Pow")]
    return [norm for norm in found if norm is not None]


def _norm_of(graph: Graph, root: onnx.NodeProto) -> WrittenNorm | None:
    """The norm whose square root a node takes."""
    power = _number(graph, operand(root, 1)) if root.op_type == "Pow" else 0.5
    add = graph.producer(root.input[0], "Add")
    if power not in (0.5, -0.5) or add is None:
        return None
    epsilon, variance = _split(graph, add)
    mean = graph.producer(variance, "ReduceMean")
    if epsilon is None or not 0 < epsilon < 1 or mean is None:
        return None
    square = graph.producer(mean.input[0], "Pow", "Mul")
    if square is None:
        return None
    deviation = square.input[0]
    squared = square.input[1] == deviation if square.op_type == "Mul" else _number(graph, square.input[1]) == 2
    axes = _axes(graph, mean)
    if not squared or not axes:
        return None
    nodes = [square, mean, add, root]
    tensor, centred = deviation, False
    minus = graph.producer(deviation, "Sub")
    middle = graph.producer(minus.input[1], "ReduceMean") if minus is not None else None
    if minus is not None and middle is not None and middle.input[0] == minus.input[0] and _axes(graph, middle) == axes:
        tensor, centred = minus.input[0], True
        nodes += [middle, minus]
    nodes, output = _scaled(graph, root, deviation, power < 0, nodes)
    gain = bias = ""
    if output:
        nodes, output, gain = _constant_behind(graph, "Mul", output, nodes)
        nodes, output, bias = _constant_behind(graph, "Add", output, nodes)
    order = {id(node): i for i, node in enumerate(graph.nodes)}
    names = tuple(node.name for node in sorted(nodes, key=lambda node: order[id(node)]))
    return WrittenNorm(names, tensor, axes, epsilon, centred, gain, bias, output)


def _scaled(
    graph: Graph, root: onnx.NodeProto, deviation: str, inverse: bool, nodes: list[onnx.NodeProto]
) -> tuple[list[onnx.NodeProto], str]:
    """And what divides the deviation by the root, and its output."""
    tensor = root.output[0]
    reader = _only_reader(graph, tensor)
    one = reader is not None and reader.op_type == "Div" and _number(graph, reader.input[0]) == 1
    if reader is not None and not inverse and (reader.op_type == "Reciprocal" or one):
        nodes, tensor, inverse = [*nodes, reader], reader.output[0], True
        reader = _only_reader(graph, tensor)
    if reader is None:
        return nodes, ""
    divides = not inverse and reader.op_type == "Div" and list(reader.input) == [deviation, tensor]
    multiplies = inverse and reader.op_type == "Mul" and set(reader.input) == {deviation, tensor}
    return ([*nodes, reader], reader.output[0]) if divides or multiplies else (nodes, "")


def _constant_behind(
    graph: Graph, kind: str, tensor: str, nodes: list[onnx.NodeProto]
) -> tuple[list[onnx.NodeProto], str, str]:
    """And a Mul or Add that alone reads it and has a constant of more than one number."""
    reader = _only_reader(graph, tensor)
    if reader is not None and reader.op_type == kind:
        other = next((name for name in reader.input if name != tensor), "")
        value = graph.constant(other)
        if value is not None and value.size > 1:
            return [*nodes, reader], reader.output[0], other
    return nodes, tensor, ""


def _only_reader(graph: Graph, tensor: str) -> onnx.NodeProto | None:
    readers = graph.consumers(tensor)
    return readers[0] if len(readers) == 1 and not graph.is_output(tensor) else None


def _split(graph: Graph, add: onnx.NodeProto) -> tuple[float | None, str]:
    """The number that is added, and to what."""
    for i in (0, 1):
        number = _number(graph, add.input[i])
        if number is not None:
            return number, add.input[1 - i]
    return None, ""


def _number(graph: Graph, tensor: str) -> float | None:
    value = graph.constant(tensor) if tensor else None
    return float(value.reshape(())) if value is not None and value.size == 1 else None


def _axes(graph: Graph, node: onnx.NodeProto) -> tuple[int, ...]:
    """Empty where they are not known, or the dimensions do not stay."""
    if not attribute(node, "keepdims", 1):
        return ()
    value = graph.constant(operand(node, 1)) if operand(node, 1) else attribute(node, "axes", None)
    return () if value is None else tuple(int(axis) for axis in np.atleast_1d(value))
