"""Large weights are stored in half the bytes; what is computed stays float32."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgekit.graph.passes.base import Pass

LARGE = 1024  # values; smaller weights and biases save nothing worth a node
COARSEST = 2.0**-11  # of the largest value: half a unit in the last of float16's 11 bits (IEEE 754-2019, table 3.5)
WEIGHTED = {"Conv": (1,), "ConvTranspose": (1,), "Gemm": (1,), "MatMul": (0, 1)}  # which inputs may be weights
HALF, BACK = ".half", ".back"


@dataclass(frozen=True)
class Rounded:
    """What `half_weights` did.

    Attributes:
        tensors, values: how many weights are stored as float16, and how many numbers those are.
        worst: the largest |rounded - original| over the largest |original| of its tensor.
        kept: large weights that stay float32, since float16 does not hold them: too large, or all of them tiny.
    """

    tensors: int
    values: int
    worst: float
    kept: tuple[str, ...]


class HalfWeights(Pass):
    """Stores large weights of convolutions and linear layers as float16, each with a Cast back to float32.

    Every runtime computes the Cast once, as it loads the graph: onnxruntime folds constants, and what OpenVINO and
    TensorRT compile holds float32 again. So the file is half as large and as fast as before; the weights are rounded to
    11 bits. Tensors keep their names, the Cast's output being what the weight was.

    Requires: nothing.
    Ensures: no large weight that float16 holds is float32, and none of the rounded ones is infinite.
    """

    def requires(self, model: onnx.ModelProto) -> str:
        return ""

    def ensures(self, model: onnx.ModelProto) -> str:
        left = [tensor.name for tensor, half in large_weights(model) if half is not None]
        halves = (tensor for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT16)
        broken = [tensor.name for tensor in halves if not np.isfinite(numpy_helper.to_array(tensor)).all()]
        return f"{left[0]} is float32" if left else f"{broken[0]} is not finite" if broken else ""

    def rewrite(self, model: onnx.ModelProto) -> bool:
        graph = model.graph
        rounded = {tensor.name: half for tensor, half in large_weights(model) if half is not None}
        taken = {tensor.name for tensor in graph.initializer}
        taken |= {name for node in graph.node for name in (node.name, *node.output)}
        stored, casts = [], []
        for tensor in graph.initializer:
            if tensor.name not in rounded:
                stored.append(tensor)
                continue
            name, node = (_fresh(tensor.name + ending, taken) for ending in (HALF, BACK))
            stored.append(numpy_helper.from_array(rounded[tensor.name], name))
            casts.append(helper.make_node("Cast", [name], [tensor.name], name=node, to=TensorProto.FLOAT))
        kept = [TensorProto.FromString(tensor.SerializeToString()) for tensor in stored]  # they lie in what is cleared
        nodes = [*casts, *(onnx.NodeProto.FromString(node.SerializeToString()) for node in graph.node)]
        del graph.initializer[:], graph.node[:]
        graph.initializer.extend(kept)
        graph.node.extend(nodes)
        return bool(rounded)


def half_weights(model: onnx.ModelProto) -> tuple[onnx.ModelProto, Rounded]:
    """A copy with its large weights as float16, and what that did to them. Raises EdgekitError as `HalfWeights`."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    found = large_weights(copy)
    worst, values = 0.0, 0
    for tensor, half in found:
        if half is not None:
            worst, values = max(worst, coarseness(numpy_helper.to_array(tensor), half)), values + half.size
    rounded = sum(half is not None for _, half in found)
    kept = tuple(tensor.name for tensor, half in found if half is None)
    HalfWeights()(copy)
    return copy, Rounded(rounded, values, worst, kept)


def is_stored_half(model: onnx.ModelProto, tensor: str) -> bool:
    """Whether a float16 tensor is only how a weight is stored: all that read it are Casts to float32."""
    readers = [node for node in model.graph.node if tensor in node.input]
    return bool(readers) and all(
        node.op_type == "Cast" and helper.get_node_attr_value(node, "to") == TensorProto.FLOAT for node in readers
    )


def large_weights(model: onnx.ModelProto) -> list[tuple[TensorProto, NDArray[np.float16] | None]]:
    """Float32 weights of `LARGE` or more values that only layers read, each rounded; None where that is too coarse."""
    places: dict[str, set[bool]] = defaultdict(set)
    for node in model.graph.node:
        for i, name in enumerate(node.input):
            places[name].add(i in WEIGHTED.get(node.op_type, ()))
    found = []
    for tensor in model.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or places[tensor.name] != {True} or np.prod(tensor.dims) < LARGE:
            continue
        weight = numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):  # infinite then, and refused below
            half = weight.astype(np.float16)
        found.append((tensor, half if coarseness(weight, half) <= COARSEST else None))
    return found


def coarseness(weight: NDArray[Any], half: NDArray[Any]) -> float:
    """Largest |half - weight| over the largest |weight|; infinite or NaN where `half` is not finite."""
    peak = float(np.abs(weight).max())
    return float(np.abs(half.astype(np.float64) - weight).max()) / peak if peak else 0.0


def _fresh(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    taken.add(name)
    return name
