"""float16 for a graph that may hold Q/DQ pairs, with every number checked for what float16 cannot hold.

Between its first and its last layer a net is cast; the preprocessing before, a last linear layer and the decoding
behind stay in float32 and int32, where pixels minus a mean and indices of 16384 places are exact, and so do norms that
sum over a row, such as LayerNormalization, also where they are written out in single operators. Initializers and Q/DQ
scales are cast, and a Cast stands at each place where a float32 tensor goes in or a float16 one comes out.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgekit.errors import ArtifactError, UsageError
from edgekit.graph.lint.graph import Graph
from edgekit.graph.lint.norms import written_norms
from edgekit.quantize.observers import Histogram
from edgekit.quantize.plan import LINEAR, has_weights

MOST = float(np.finfo(np.float16).max)  # 65504
ROOM = 2.0  # a picture in the field may reach twice what calibration saw
LEAST = float(np.finfo(np.float16).tiny)  # below it digits are lost, and some kernels flush to zero
LOST = 1e-2  # of a weight's size, by norm, that may vanish below LEAST
OPSET = 19
# sums of squares over a row, which float16 is neither wide nor fine enough for
NORMS = ("LayerNormalization", "GroupNormalization", "InstanceNormalization", "RMSNormalization", "LpNormalization")
SINGLE = {("Resize", 2)}  # inputs that ONNX has in float32 only, whatever the others are


@dataclass(frozen=True)
class Half:
    """A float16 graph.

    Attributes:
        model: the new graph; what it was made from is not changed.
        nodes: how many compute in float16.
        kept: node -> why it stays in float32 although it lies between layers.
    """

    model: onnx.ModelProto
    nodes: int
    kept: Mapping[str, str]

    @property
    def notes(self) -> tuple[str, ...]:
        """One sentence for each node that was kept."""
        return tuple(f"{name} stays in float32: {why}" for name, why in self.kept.items())


def to_fp16(model: onnx.ModelProto, seen: Mapping[str, Histogram], keep: Collection[str] = ()) -> Half:
    """Casts a float32 graph, or what `edgekit.quantize.place` made of it.

    Args:
        model: opset 19 or newer; inputs and outputs keep their types.
        seen: the values of its tensors (`Calibration.tensors` of the float32 graph).
        keep: names of nodes that stay in float32.

    Raises:
        ArtifactError: an older opset, or values of a tensor are not known, so that an overflow could not be seen.
        UsageError: a node to keep that is not there, or nothing is left to cast.
    """
    graph = Graph(model)
    unknown = sorted(set(keep) - {node.name for node in graph.nodes})
    if unknown:
        raise UsageError("There are no such nodes to keep in float32.", got=", ".join(unknown[:5]))
    if graph.opset is None or graph.opset < OPSET:
        raise ArtifactError(
            "The graph's opset has no float16 scales.",
            got=str(graph.opset),
            expected=f"{OPSET} or newer",
            fix="export for a target with a newer opset",
        )
    inside = _between_layers(graph)
    kept = {name: "asked for" for name in keep if name in inside}
    for node in graph.nodes:
        if node.name in inside and node.name not in kept:
            why = _misfit(graph, node, seen)
            if why:
                kept[node.name] = why
    cast = inside - set(kept) - {node.name for node in graph.nodes if node.op_type in NORMS}
    cast -= {name for norm in written_norms(graph) for name in norm.nodes}
    if not cast:
        raise UsageError("No layer is left to cast.", got="; ".join(f"{k}: {v}" for k, v in list(kept.items())[:3]))
    copy = _rewritten(model, graph, cast)
    return Half(copy, len(cast), kept)


def _between_layers(graph: Graph) -> set[str]:
    """Names of the layers, and of the nodes on a way from one to another; a layer's Q/DQ pairs are part of it."""
    behind: set[str] = set()  # tensors
    after: set[str] = set()  # nodes
    for node in graph.nodes:
        if has_weights(graph, node) or behind & set(node.input):
            behind.update(node.output)
            after.add(node.name)
    wanted: set[str] = set()
    before: set[str] = set()
    for node in reversed(graph.nodes):
        if wanted & set(node.output):
            before.add(node.name)
            wanted.update(node.input)
        elif has_weights(graph, node):
            wanted.update(node.input)
    # logits of 16 have steps of 1/64 in float16, which decides between near classes; a last linear layer is small
    layers = {n.name for n in graph.nodes if has_weights(graph, n) and (n.op_type not in LINEAR or n.name in before)}
    found = (after & before) | layers
    for node in reversed(graph.nodes):  # a DequantizeLinear in front of a layer, and the QuantizeLinear in front of it
        if node.op_type in ("DequantizeLinear", "QuantizeLinear"):
            readers = graph.consumers(node.output[0])
            if readers and all(reader.name in found for reader in readers):
                found.add(node.name)
    return found


def _misfit(graph: Graph, node: onnx.NodeProto, seen: Mapping[str, Histogram]) -> str:
    """Why float16 cannot hold what a node reads or makes; empty when it can."""
    for name in (*_floats_of(graph, node), *node.output):
        if graph.dtype(name) != TensorProto.FLOAT:
            continue
        constant = graph.constant(name)
        if constant is not None and node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            why = scale_misfit(constant)
        elif constant is not None:
            why = weight_misfit(constant)
        else:
            source = _source(graph, name)
            if source is None:
                continue
            if source not in seen:
                raise ArtifactError(
                    f"Nothing is known about the values of {name}, so an overflow of float16 could not be seen.",
                    expected="a calibration of the float32 graph that this one was made of",
                    fix="calibrate again",
                )
            peak = seen[source].peak
            why = f"it reaches {peak:.4g} and float16 ends at {MOST:.0f}" if peak * ROOM > MOST else ""
        if why:
            return f"{name}: {why}"
    return ""


def _floats_of(graph: Graph, node: onnx.NodeProto) -> list[str]:
    """The float32 inputs of a node that may become float16."""
    return [
        name
        for i, name in enumerate(node.input)
        if name and graph.dtype(name) == TensorProto.FLOAT and (node.op_type, i) not in SINGLE
    ]


def _source(graph: Graph, name: str) -> str | None:
    """The float tensor that a DequantizeLinear gives again; None for a weight, which is as large as its scale."""
    dequantize = graph.producer(name, "DequantizeLinear")
    if dequantize is None:
        return name
    quantize = graph.producer(dequantize.input[0], "QuantizeLinear")
    return str(quantize.input[0]) if quantize is not None else None


def weight_misfit(weight: NDArray[np.float32]) -> str:
    """Why float16 cannot hold a constant; empty when it can."""
    exact = weight.astype(np.float64)
    peak = float(np.abs(exact).max(initial=0.0))
    if peak > MOST:
        return f"it has the value {peak:.4g} and float16 ends at {MOST:.0f}"
    small = np.abs(exact) < LEAST
    lost = float(np.linalg.norm(exact[small])) if small.any() else 0.0
    size = float(np.linalg.norm(exact))
    if size and lost > LOST * size:
        return f"{lost / size:.0%} of it lies below {LEAST:.2g}, where float16 loses digits"
    return ""


def scale_misfit(scale: NDArray[np.float32]) -> str:
    """Why float16 cannot hold a scale to 0.2 %, a quarter of a step at an 8-bit grid's end; empty when it can."""
    with np.errstate(over="ignore"):
        half = scale.astype(np.float16).astype(np.float64)
    wrong = np.abs(half - scale) > scale / 500
    return f"float16 has no number near {float(scale[wrong].flat[0]):.3g}" if wrong.any() else ""


def _rewritten(model: onnx.ModelProto, graph: Graph, cast: set[str]) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.metadata_props[:]  # of the float32 graph: whoever writes this one to a file describes it anew
    halves: dict[str, str] = {}
    new: dict[str, onnx.TensorProto] = {}
    made_half = {
        name
        for node in graph.nodes
        if node.name in cast
        for name in node.output
        if graph.dtype(name) == TensorProto.FLOAT
    }
    outputs = {v.name for v in graph.outputs}
    nodes: list[onnx.NodeProto] = []
    singles: set[str] = set()  # float16 tensors that were cast back already
    for node in copy.graph.node:
        inside = node.name in cast
        for i, name in enumerate(node.input):
            if not name or graph.dtype(name) != TensorProto.FLOAT or (inside and (node.op_type, i) in SINGLE):
                continue
            if inside and name in graph.initializers:
                half = f"{name}.fp16"
                if half not in new:
                    value = numpy_helper.to_array(graph.initializers[name]).astype(np.float16)
                    new[half] = numpy_helper.from_array(value, half)
                node.input[i] = half
            elif inside and name not in made_half:
                if name not in halves:
                    halves[name] = f"{name}.fp16"
                    nodes.append(_cast(name, halves[name], TensorProto.FLOAT16))
                node.input[i] = halves[name]
            elif inside:
                node.input[i] = f"{name}.fp16"
            elif name in made_half and name not in outputs and name not in singles:
                singles.add(name)
                nodes.append(_cast(f"{name}.fp16", name, TensorProto.FLOAT))
        nodes.append(node)
        if inside:
            if node.op_type == "Cast" and node.output[0] in made_half:  # of a mask or an index, into float
                node.attribute[0].i = TensorProto.FLOAT16
            for i, name in enumerate(node.output):
                if name in made_half:
                    node.output[i] = f"{name}.fp16"
                    if name in outputs:
                        nodes.append(_cast(f"{name}.fp16", name, TensorProto.FLOAT))
    nodes = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del copy.graph.node[:]
    copy.graph.node.extend(nodes)
    read = {name for node in nodes for name in node.input}
    tensors = [onnx.TensorProto.FromString(t.SerializeToString()) for t in copy.graph.initializer if t.name in read]
    del copy.graph.initializer[:]
    copy.graph.initializer.extend([*tensors, *new.values()])
    del copy.graph.value_info[:]
    typed = onnx.shape_inference.infer_shapes(copy, check_type=True, strict_mode=True, data_prop=True)
    copy.graph.value_info.extend(typed.graph.value_info)
    onnx.checker.check_model(copy, full_check=True)
    return copy


def _cast(source: str, target: str, to: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], f"{target}.cast", to=to)
