"""Which values of a tensor its readers tell apart: beyond them a range need not reach."""

from __future__ import annotations

import math

import onnx

from edgekit.graph.lint.graph import Graph, attribute, operand

# Beyond this a sigmoid is nearer to 0 or 1 than 3.4e-4, a tenth of a step of eight bits; below it x times its sigmoid
# is nearer to 0 than 0.003, a tenth of a step where that reaches to 8 and a larger part where it reaches less far.
FLAT = 8.0
GATES = ("Sigmoid", "HardSigmoid")


def told_apart(graph: Graph, tensor: str) -> tuple[float, float]:
    """The smallest and the largest value that any reader of `tensor` does not take for the same as what lies beyond.

    HardSwish is 0 below -3, and so a convolution in front of it wants no integers there: of the stem of a MobileNetV3,
    from -20 to 17, half of them. So it is with Relu, Clip and HardSigmoid, and nearly (`FLAT`) with Sigmoid and SiLU,
    which is a Mul of a tensor and its own Sigmoid. Infinite where a reader is of another kind, or the tensor is an
    output of the graph.
    """
    readers = graph.consumers(tensor)
    if not readers or graph.is_output(tensor):
        return -math.inf, math.inf
    sides = [_of_reader(graph, node, tensor) for node in readers]
    return min(low for low, _ in sides), max(high for _, high in sides)


def _of_reader(graph: Graph, node: onnx.NodeProto, tensor: str) -> tuple[float, float]:
    if node.op_type == "Relu":
        return 0.0, math.inf
    if node.op_type == "HardSwish":
        return -3.0, math.inf
    if node.op_type == "HardSigmoid":
        alpha, beta = attribute(node, "alpha", 0.2), attribute(node, "beta", 0.5)
        return (-beta / alpha, (1 - beta) / alpha) if alpha > 0 else (-math.inf, math.inf)
    if node.op_type == "Sigmoid":
        return -FLAT, FLAT
    if node.op_type == "Mul":
        gates = [graph.producer(name) for name in node.input if name != tensor]
        if len(gates) == 1 and gates[0] is not None and gates[0].op_type in GATES and gates[0].input[0] == tensor:
            return _of_reader(graph, gates[0], tensor)[0], math.inf
    if node.op_type == "Clip":
        return _limit(graph, node, 1, -math.inf), _limit(graph, node, 2, math.inf)
    return -math.inf, math.inf


def _limit(graph: Graph, node: onnx.NodeProto, i: int, without: float) -> float:
    """A Clip's limit; `without` where it has none, or one that is computed."""
    name = operand(node, i)
    value = graph.constant(name) if name else None
    return without if value is None else float(value)
