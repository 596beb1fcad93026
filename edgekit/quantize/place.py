"""Writes Q/DQ pairs into a graph: one calibration, three schemes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgekit.config.schemes import Scheme, scheme_named
from edgekit.errors import ArtifactError, UsageError
from edgekit.graph.lint.graph import Graph, operand
from edgekit.quantize.calibration import Calibration
from edgekit.quantize.observers import Method
from edgekit.quantize.peaks import read_for_peaks
from edgekit.quantize.plan import QuantizableLayer, QuantizationPlan, consumers_of, plan
from edgekit.quantize.rounding import Rounder
from edgekit.quantize.saturation import told_apart
from edgekit.quantize.weights import (
    half_scale,
    quantize_bias,
    quantize_weight,
    room_for_bias,
    weight_scales,
)
from edgekit.screen import count_of

OPSET = 19  # the first with float16 scales, and so with a type for every Q and DQ


Parameters: TypeAlias = Mapping[str, tuple[float, int]]  # tensor -> its scale and zero point


@dataclass(frozen=True)
class Quantized:
    """A graph with Q/DQ pairs.

    Attributes:
        model: the new graph; what it was made from is not changed.
        scheme: its name.
        layers: names of the nodes that compute in int8.
        kept: names of those that could and do not.
        parameters: tensor -> its scale and zero point.
    """

    model: onnx.ModelProto
    scheme: str
    layers: tuple[str, ...]
    kept: tuple[str, ...]
    parameters: Parameters


@dataclass
class _Edit:
    """Initializers and nodes that are added, by the name of the tensor they follow."""

    initializers: list[onnx.TensorProto] = field(default_factory=list)
    after: dict[str, list[onnx.NodeProto]] = field(default_factory=dict)
    first: list[onnx.NodeProto] = field(default_factory=list)

    def constant(self, name: str, value: NDArray[np.generic]) -> str:
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), name))
        return name


def quantize(
    model: onnx.ModelProto,
    calibration: Calibration | Parameters,
    scheme: str,
    *,
    method: Method = "mse",
    keep: Collection[str] = (),
    rounder: Rounder | None = None,
) -> Quantized:
    """Places Q/DQ pairs for `scheme`.

    Args:
        model: folded float32, opset 19 or newer, the very graph that was calibrated.
        calibration: or the scale and zero point of each tensor, as a net was trained with them.
        scheme: a name of `edgekit.config.schemes`.
        method: how a range is chosen from what was seen. Of what a MatMul reads `mse` takes the whole range: the few
            huge values of a ViT's tokens (Sun et al. 2024, "Massive Activations in Large Language Models", sec. 4)
            carry what the net says, and no sum over a map makes up for a clipped one. So it does of what peaks are
            read from (`edgekit.quantize.peaks`).
        keep: names of nodes that stay in float.
        rounder: rounds weights by what it does to outputs (`edgekit.quantize.rounding`); None rounds to the nearest.

    Raises:
        UsageError: unknown scheme, method or node.
        ArtifactError: an older opset, a graph that is quantized already, or another one than was calibrated or
            trained.
    """
    chosen = scheme_named(scheme)
    _refuse_unfit(model)
    if isinstance(calibration, Calibration):
        calibration.require(model)
    where = plan(model, chosen, keep)
    if not where.layers:
        raise UsageError(
            "No layer is left to quantize.",
            got=f"{count_of(len(keep), 'node')} kept in float",
            expected="at least one convolution or linear layer with constant weights",
        )
    graph = Graph(model)
    if isinstance(calibration, Calibration):
        parameters = _parameters(graph, where, calibration, chosen, method)
    else:
        parameters = _as_trained(where, calibration)
    edit = _Edit()
    for tensor in sorted(where.tensors):
        edit.after[tensor] = _pair(edit, tensor, parameters[tensor], chosen)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.metadata_props[:]  # of the float graph: whoever writes this one to a file describes it anew
    nodes = {node.name: node for node in copy.graph.node}
    for tensor, node, i in consumers_of(where, graph):
        nodes[node.name].input[i] = f"{tensor}.dequantized"
    for layer in where.layers:
        _weights(edit, graph, nodes, layer, chosen, parameters, rounder)
    _write(copy, edit, graph)
    kept = {layer.name for layer in plan(model, chosen).layers} - {layer.name for layer in where.layers}
    names = tuple(layer.name for layer in where.layers)
    return Quantized(copy, scheme, names, tuple(sorted(kept)), parameters)


def _refuse_unfit(model: onnx.ModelProto) -> None:
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)
    if opset < OPSET:
        raise ArtifactError(
            "The graph's opset is too old for typed Q/DQ pairs.",
            got=str(opset),
            expected=f"{OPSET} or newer",
            fix="export for a target with a newer opset",
        )
    names = [node.name for node in model.graph.node]
    if "" in names or len(set(names)) != len(names):
        raise ArtifactError(
            "The graph's nodes cannot be told apart.",
            got="nodes without a name, or two with one",
            expected="a name for each, as edgekit's own export gives",
            fix="edgekit export CHECKPOINT makes such a graph",
        )
    found = next((n.name for n in model.graph.node if n.op_type in ("QuantizeLinear", "DequantizeLinear")), None)
    if found is not None:
        raise ArtifactError(
            "The graph is quantized already.",
            got=f"a Q/DQ pair at {found}",
            expected="the float32 graph",
            fix="start from the fp32 export",
        )


def _multiplied(graph: Graph, where: QuantizationPlan) -> frozenset[str]:
    """What a MatMul reads in int8."""
    names = {layer.name for layer in where.layers}
    return frozenset(node.input[0] for node in graph.of_type("MatMul") if node.name in names)


def _parameters(
    graph: Graph, where: QuantizationPlan, calibration: Calibration, scheme: Scheme, method: Method
) -> dict[str, tuple[float, int]]:
    whole = _multiplied(graph, where) | read_for_peaks(graph) if method == "mse" else frozenset()
    found = {}
    for tensor in where.tensors:
        source = tensor
        while source in where.same:
            source = where.same[source]
        low, high = calibration.range_of(source, "minmax" if source in whole else method, scheme.grid)
        least, most = told_apart(graph, source)
        low, high = max(low, least), min(high, most)
        scale, zero = scheme.grid.parameters(low, high)
        if scheme.half_scales:
            scale = float(half_scale(np.array(scale)))
        found[tensor] = (float(np.float32(scale)), zero)
    return found


def _as_trained(where: QuantizationPlan, known: Parameters) -> dict[str, tuple[float, int]]:
    """Those of a training. Raises ArtifactError unless they are of exactly the tensors that are quantized."""
    if differ := sorted(where.tensors ^ set(known)):
        raise ArtifactError(
            "The net was trained with another int8 graph than this one.",
            got=f"{len(differ)} tensors are quantized in one of the two only: {', '.join(differ[:3])}",
            expected="the pairs that it was trained with",
            fix="export with this edgekit's defaults (--input uint8), or train quantized again",
        )
    return {tensor: known[tensor] for tensor in where.tensors}


def _pair(edit: _Edit, tensor: str, parameters: tuple[float, int], scheme: Scheme) -> list[onnx.NodeProto]:
    scale = edit.constant(f"{tensor}.scale", np.array(parameters[0], np.float32))
    dtype = np.int8 if scheme.grid.low < 0 else np.uint8
    zero = edit.constant(f"{tensor}.zero_point", np.array(parameters[1], dtype))
    names = f"{tensor}.quantized", f"{tensor}.dequantized"
    return [
        helper.make_node("QuantizeLinear", [tensor, scale, zero], [names[0]], f"{tensor}.quantize"),
        helper.make_node("DequantizeLinear", [names[0], scale, zero], [names[1]], f"{tensor}.dequantize"),
    ]


def _weights(
    edit: _Edit,
    graph: Graph,
    nodes: Mapping[str, onnx.NodeProto],
    layer: QuantizableLayer,
    scheme: Scheme,
    parameters: Mapping[str, tuple[float, int]],
    rounder: Rounder | None,
) -> None:
    """int8 weights behind a DequantizeLinear, and an int32 bias behind another where the scheme has one."""
    node = nodes[layer.name]
    original = graph.producer(node.output[0])
    assert original is not None
    input_scale = parameters[original.input[0]][0]
    name, bias_name = operand(original, 1), operand(original, 2)
    weight = graph.constant(name)
    bias = graph.constant(bias_name) if bias_name else None
    assert weight is not None
    scales = weight_scales(weight, layer.axis)
    if scheme.half_scales:
        scales = half_scale(scales)
    if scheme.quantized_bias:
        scales = room_for_bias(scales, bias, input_scale)
    scales = scales.astype(np.float32).astype(np.float64)
    rounded = rounder(layer.name, weight, scales, layer.axis) if rounder is not None else None
    steps = quantize_weight(weight, scales, layer.axis) if rounded is None else rounded[0]
    if rounded is not None and bias is not None:
        bias = (bias + rounded[1]).astype(np.float32)
    shared = len(graph.consumers(name)) > 1  # its bias may have asked for other scales
    base = f"{layer.name}.{name}" if shared else name
    zero = edit.constant(f"{base}.zero_point", np.zeros(len(scales), np.int8))
    scale = edit.constant(f"{base}.scale", scales.astype(np.float32))
    stored = edit.constant(f"{base}.quantized", steps)
    edit.first.append(
        helper.make_node(
            "DequantizeLinear", [stored, scale, zero], [f"{base}.dequantized"], f"{base}.dequantize", axis=layer.axis
        )
    )
    node.input[1] = f"{base}.dequantized"
    if bias is None:
        if rounded is not None:
            _correct_add(edit, graph, nodes, original, rounded[1])
        return
    if not scheme.quantized_bias:
        if rounded is not None:
            node.input[2] = edit.constant(f"{layer.name}.bias.corrected", bias)
        return
    products = (scales * input_scale).astype(np.float32)
    base = f"{layer.name}.bias" if bias_name != f"{layer.name}.bias" else bias_name
    stored = edit.constant(f"{base}.quantized", quantize_bias(bias, products.astype(np.float64), 1.0))
    scale = edit.constant(f"{base}.scale", products)
    edit.first.append(
        helper.make_node("DequantizeLinear", [stored, scale], [f"{base}.dequantized"], f"{base}.dequantize", axis=0)
    )
    node.input[2] = f"{base}.dequantized"


def _correct_add(
    edit: _Edit,
    graph: Graph,
    nodes: Mapping[str, onnx.NodeProto],
    layer: onnx.NodeProto,
    lacking: NDArray[np.float64],
) -> None:
    """Adds what a MatMul lacks on average to its bias, which is a constant that an Add behind it has."""
    readers = graph.consumers(layer.output[0])
    if len(readers) != 1 or readers[0].op_type != "Add":
        return
    for i, name in enumerate(readers[0].input):
        bias = graph.constant(name)
        if bias is not None and bias.shape == lacking.shape and bias.dtype == np.float32:
            corrected = (bias + lacking).astype(np.float32)
            nodes[readers[0].name].input[i] = edit.constant(f"{layer.name}.bias.corrected", corrected)


def _write(model: onnx.ModelProto, edit: _Edit, graph: Graph) -> None:
    """Puts the new nodes behind what they read, drops weights that nobody reads any more, infers and checks."""
    nodes = list(edit.first)
    for value in graph.inputs:
        nodes += edit.after.get(value.name, [])
    for node in model.graph.node:
        nodes.append(node)
        for output in node.output:
            nodes += edit.after.get(output, [])
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    read = {name for node in nodes for name in node.input} | {v.name for v in model.graph.output}
    kept = [t for t in (*model.graph.initializer, *edit.initializers) if t.name in read]
    kept = [onnx.TensorProto.FromString(t.SerializeToString()) for t in kept]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    del model.graph.value_info[:]
    typed = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    model.graph.value_info.extend(typed.graph.value_info)
    onnx.checker.check_model(model, full_check=True)
