"""Rules about index arithmetic in floating point: right on the test picture, wrong further down in the next one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import onnx
from onnx import TensorProto

from edgekit.graph.lint.graph import Graph, attribute, operand, title, type_name
from edgekit.graph.lint.rule import Hit

HALVES = (TensorProto.FLOAT16, TensorProto.BFLOAT16)
FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, *HALVES)
INTEGERS = (TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64, TensorProto.UINT8)
EXACT: dict[int, int] = {TensorProto.FLOAT16: 2**11, TensorProto.BFLOAT16: 2**8}  # above, not all integers exist
UNBOUNDED = float("inf")

SOURCES = {"TopK": 1, "ArgMax": 0, "ArgMin": 0, "NonZero": 0, "Range": 0, "Shape": 0, "Size": 0}  # op -> output
MOVES = frozenset({
    "Cast", "Concat", "Expand", "Flatten", "Floor", "Gather", "Identity", "Reshape", "Slice", "Squeeze", "Tile",
    "Transpose", "Unsqueeze",
})  # fmt: skip
# Largest result of an operator on a value of at most `a` and another of `low` to `high`, all of them >= 0.
ARITHMETIC: dict[str, Callable[[float, float, float], float]] = {
    "Add": lambda a, low, high: a + high,
    "Sub": lambda a, low, high: max(a, high),
    "Mul": lambda a, low, high: a * high,
    "Div": lambda a, low, high: a / low if low >= 1 else UNBOUNDED,
    "Mod": lambda a, low, high: high,
}
INDEXED = {"Gather": 1, "GatherElements": 1, "GatherND": 1, "ScatterElements": 1, "ScatterND": 1}  # op -> input


def fp16_index_arithmetic(graph: Graph) -> Iterator[Hit]:
    """float16 holds all integers up to 2048 and none above 65504, in every runtime: a larger index is another place.

    Bounds are followed through the arithmetic, so a row of at most 2048 may be float16 and a position may not.
    """
    limits: dict[str, float] = {}  # tensors that are indices, or computed from indices and constants alone
    reported: set[str] = set()
    for node in graph.nodes:
        for name, limit in _index_outputs(graph, node, limits):
            exact = EXACT.get(graph.dtype(name), UNBOUNDED)
            if limit > exact:
                got = "any size" if limit == UNBOUNDED else f"up to {limit:.0f}"
                kind = type_name(graph.dtype(name))
                reported.add(name)
                yield Hit(
                    title(node),
                    f"{node.op_type} {title(node)} turns indices of {got} into {kind}, exact up to {exact}",
                    "keep index arithmetic in int32 and cast the finished coordinate",
                )
            else:
                limits[name] = limit
    for node in graph.nodes:
        half = _half_behind(graph, operand(node, INDEXED.get(node.op_type, len(node.input))))
        if half and half not in reported:
            yield Hit(
                title(node),
                f"the indices of {node.op_type} {title(node)} come from {half}, {type_name(graph.dtype(half))}",
                "compute indices in int32",
            )


def _index_outputs(graph: Graph, node: onnx.NodeProto, limits: dict[str, float]) -> Iterator[tuple[str, float]]:
    if node.op_type in SOURCES:
        i = SOURCES[node.op_type]
        if i < len(node.output) and graph.dtype(node.output[i]) in INTEGERS:
            yield node.output[i], _largest(graph, node)
    elif node.op_type in MOVES:
        data = node.input if node.op_type == "Concat" else node.input[:1]
        if any(name in limits for name in data):
            yield node.output[0], max(limits.get(name, _range(graph, name)[1]) for name in data)
    elif node.op_type in ARITHMETIC:
        a, b = node.input
        # An index plus a tensor from elsewhere, such as a predicted offset, is a coordinate: no longer an index.
        pure = all(name in limits or graph.is_constant(name) for name in (a, b))
        if pure and (a in limits or b in limits):
            low, high = (0.0, limits[b]) if b in limits else _range(graph, b)
            largest = limits[a] if a in limits else _range(graph, a)[1]
            yield node.output[0], ARITHMETIC[node.op_type](largest, low, high)


def _largest(graph: Graph, node: onnx.NodeProto) -> float:
    """The largest index that a source can give; infinity where the shapes do not say."""
    if node.op_type == "Range":
        return _range(graph, node.input[1])[1]
    shape = graph.shape(node.input[0])
    if shape is None:
        return UNBOUNDED
    known = [UNBOUNDED if d is None else float(d) for d in shape]
    if node.op_type == "Size":
        return float(np.prod(known))
    if node.op_type in ("TopK", "ArgMax", "ArgMin"):
        axis: int = attribute(node, "axis", -1 if node.op_type == "TopK" else 0)
        return known[axis] - 1
    return max(known, default=0.0)


def _range(graph: Graph, name: str) -> tuple[float, float]:
    value = graph.constant(name)
    if value is None or not value.size:
        return 0.0, UNBOUNDED
    size = np.abs(value.astype(np.float64))
    return float(size.min()), float(size.max())


def _half_behind(graph: Graph, name: str) -> str:
    """The first 16-bit float tensor on the way back from an index; empty when there is none."""
    waiting, seen = [name], set[str]()
    while waiting:
        tensor = waiting.pop()
        if not tensor or tensor in seen:
            continue
        seen.add(tensor)
        if graph.dtype(tensor) in HALVES:
            return tensor
        node = graph.producer(tensor, *MOVES, *ARITHMETIC)
        if node is not None:
            waiting += node.input[:1] if node.op_type in MOVES - {"Concat"} else node.input
    return ""


def float_floor_division(graph: Graph) -> Iterator[Hit]:
    """Exact in float32 below 2^24 at best (onnxruntime 1.32), and wrong in every runtime once the graph is float16.

    This is what torch.div(rounding_mode="floor") on integers becomes: Cast, Div, Floor. A runtime that multiplies by
    the reciprocal is wrong in float32 too.
    """
    for node in graph.of_type("Floor"):
        division = graph.producer(operand(node, 0), "Div")
        for name in division.input if division is not None else ():
            cast = graph.producer(name, "Cast")
            if cast is not None and graph.dtype(name) in FLOATS and graph.dtype(cast.input[0]) in INTEGERS:
                got = f"{type_name(graph.dtype(cast.input[0]))} {cast.input[0]}"
                yield Hit(
                    title(node),
                    f"Floor {title(node)} rounds a {type_name(graph.dtype(name))} quotient of {got}",
                    "write a // b, which stays an integer division",
                )
                break
