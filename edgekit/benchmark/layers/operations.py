"""What a graph costs on paper: weights, multiply-adds, and bytes moved, per node. onnx only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import onnx

WIDTHS = {
    onnx.TensorProto.FLOAT: 4,
    onnx.TensorProto.FLOAT16: 2,
    onnx.TensorProto.BFLOAT16: 2,
    onnx.TensorProto.DOUBLE: 8,
    onnx.TensorProto.INT64: 8,
    onnx.TensorProto.INT32: 4,
    onnx.TensorProto.INT8: 1,
    onnx.TensorProto.UINT8: 1,
    onnx.TensorProto.BOOL: 1,
}
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Cost:
    """Of one node, for one batch: multiply-adds, the bytes of its inputs, weights and outputs as they are on disk, the
    shape of a convolution's or product's weights, and the name of its first output."""

    name: str
    kind: str
    macs: int
    bytes: int
    weights: Shape = ()
    output: str = ""


@dataclass(frozen=True)
class Costs:
    """Of a graph: weights (numbers, not bytes), multiply-adds a picture, and each node."""

    params: int
    macs: int
    nodes: tuple[Cost, ...]


def costs(model: onnx.ModelProto, batch: int = 1) -> Costs:
    """Multiply-adds of convolutions and matrix products; additions, activations and resizes count bytes only.

    The graph is followed with `batch` for every dynamic first dimension. A node whose shapes onnx cannot infer counts
    nothing. Constants that are no weights (scales, zero points, indices) are not counted among the parameters.
    """
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for value in (*fixed.graph.input, *fixed.graph.output):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_value = batch
    del fixed.graph.value_info[:]
    inferred = onnx.shape_inference.infer_shapes(fixed, data_prop=True).graph
    shapes: dict[str, Shape] = {}
    widths: dict[str, int] = {}
    for value in (*inferred.input, *inferred.output, *inferred.value_info):
        tensor = value.type.tensor_type
        if all(d.HasField("dim_value") for d in tensor.shape.dim):
            shapes[value.name] = tuple(d.dim_value for d in tensor.shape.dim)
        widths[value.name] = WIDTHS.get(tensor.elem_type, 4)
    for weight in inferred.initializer:
        shapes[weight.name] = tuple(weight.dims)
        widths[weight.name] = WIDTHS.get(weight.data_type, 4)
    nodes = tuple(_cost(node, shapes, widths) for node in inferred.node)
    weights = _weights(inferred)
    return Costs(
        params=sum(math.prod(shapes[name]) for name in weights),
        macs=sum(node.macs for node in nodes) // batch,
        nodes=nodes,
    )


def _cost(node: onnx.NodeProto, shapes: Mapping[str, Shape], widths: Mapping[str, int]) -> Cost:
    names = [n for n in (*node.input, *node.output) if n in shapes]
    moved = sum(math.prod(shapes[n]) * widths.get(n, 4) for n in names)
    out = shapes.get(node.output[0]) if node.output else None
    macs = 0
    weights: Shape = ()
    if out is not None and len(node.input) > 1 and node.input[1] in shapes:
        weight = shapes[node.input[1]]
        weights = weight
        if node.op_type == "Conv":
            macs = math.prod(out) * math.prod(weight[1:])
        elif node.op_type == "ConvTranspose" and node.input[0] in shapes:
            macs = math.prod(shapes[node.input[0]]) * math.prod(weight[1:])
        elif node.op_type in ("MatMul", "Gemm") and node.input[0] in shapes:
            left = shapes[node.input[0]]
            across = next((a.i for a in node.attribute if a.name == "transA"), 0)
            macs = math.prod(out) * (left[0] if across else left[-1])
    output = node.output[0] if node.output else ""
    return Cost(node.name or output, node.op_type, macs, moved, weights if macs else (), output)


def _weights(graph: onnx.GraphProto) -> set[str]:
    """Initializers that reach a convolution or matrix product, through a Cast or DequantizeLinear too, and biases."""
    stored = {i.name for i in graph.initializer}
    behind = {
        node.output[0]: node.input[0]
        for node in graph.node
        if node.op_type in ("DequantizeLinear", "QuantizeLinear", "Cast") and node.input
    }
    found = set()
    for node in graph.node:
        if node.op_type in ("Conv", "ConvTranspose", "MatMul", "Gemm", "BatchNormalization"):
            for name in node.input[1:]:
                while name not in stored and name in behind:
                    name = behind[name]
                if name in stored:
                    found.add(name)
    return found
