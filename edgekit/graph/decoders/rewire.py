"""A graph gets other outputs: the raw ones become inner tensors, and what nobody reads any more goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import onnx
from onnx import helper

from edgekit.errors import ArtifactError
from edgekit.graph.builder import Builder
from edgekit.graph.decoders.base import Reading
from edgekit.graph.lint.graph import Graph
from edgekit.vision.spec import TensorSpec

OPSET = 18  # the first in which all reductions take their axes as an input
CONTRACT = ("boxes", "scores", "labels", "logits", "mask", "score", "features")  # names that raw outputs must not have


@dataclass(frozen=True)
class Renamed:
    """A reading and outputs with the names that the raw tensors have now."""

    reading: Reading
    outputs: tuple[TensorSpec, ...]


def outputs_of(model: onnx.ModelProto, reading: Reading) -> Renamed:
    """Frees the contract's names, in place. Raises ArtifactError for an old opset or a missing output."""
    graph = Graph(model)
    if graph.opset is None or graph.opset < OPSET:
        raise ArtifactError("The graph's opset is too old.", got=str(graph.opset), expected=f"{OPSET} or newer")
    there = [value.name for value in model.graph.output]
    missing = [name for name in reading.roles.values() if name not in there]
    if missing:
        raise ArtifactError("The graph has not the outputs to decode.", got=", ".join(there), expected=missing[0])
    taken = {name for node in model.graph.node for name in (*node.input, *node.output)} | set(there)
    new = {}
    for name in dict.fromkeys([*there, *taken]):
        if name in CONTRACT:
            new[name] = f"raw/{name}"
            while new[name] in taken:
                new[name] += "_"
    specs = tuple(_spec(graph, name, new.get(name, name)) for name in there)
    for node in model.graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                names[i] = new.get(name, name)
    for value in (*model.graph.output, *model.graph.value_info, *model.graph.initializer):
        value.name = new.get(value.name, value.name)
    roles = {role: new.get(name, name) for role, name in reading.roles.items()}
    return Renamed(replace(reading, roles=roles), specs)


def _spec(graph: Graph, name: str, new: str) -> TensorSpec:
    shape = graph.shape(name)
    if shape is None:
        raise ArtifactError("An output's shape is not known.", got=name, expected="fixed sides behind the batch")
    dtype = helper.tensor_dtype_to_np_dtype(graph.dtype(name)).name
    return TensorSpec(new, dtype, tuple("?" if side is None else side for side in shape))


def replace_outputs(model: onnx.ModelProto, b: Builder, made: Mapping[str, str]) -> None:
    """The graph's outputs are now `made`: name -> tensor. Raises ArtifactError where shapes do not come out."""
    batch = model.graph.output[0].type.tensor_type.shape.dim[0]
    first: int | str = batch.dim_value if batch.HasField("dim_value") else (batch.dim_param or "N")
    for name, tensor in made.items():
        b.add("Identity", tensor, name=name)
    b.finish()
    del model.graph.output[:]
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in made)
    _drop_unread(model)
    typed = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    for value in typed.graph.output:
        dims = value.type.tensor_type.shape.dim
        if any(not side.HasField("dim_value") for side in dims[1:]):
            raise ArtifactError("The decoded outputs have no fixed shape.", got=value.name, expected="fixed sides")
        dims[0].Clear()
        if isinstance(first, int):
            dims[0].dim_value = first
        else:
            dims[0].dim_param = first
    del model.graph.output[:], model.graph.value_info[:]
    model.graph.output.extend(typed.graph.output)
    model.graph.value_info.extend(typed.graph.value_info)


def _drop_unread(model: onnx.ModelProto) -> None:
    read = {value.name for value in model.graph.output}
    nodes = []
    for node in reversed(model.graph.node):
        if read & set(node.output):
            read.update(node.input)
            nodes.append(onnx.NodeProto.FromString(node.SerializeToString()))
    dropped = {t.name for t in model.graph.initializer} - read  # some files list their initializers as inputs
    inputs = [v for v in model.graph.input if v.name not in dropped]
    inputs = [onnx.ValueInfoProto.FromString(v.SerializeToString()) for v in inputs]
    tensors = [onnx.TensorProto.FromString(t.SerializeToString()) for t in model.graph.initializer if t.name in read]
    del model.graph.node[:], model.graph.initializer[:], model.graph.input[:]
    model.graph.input.extend(inputs)
    model.graph.node.extend(reversed(nodes))
    model.graph.initializer.extend(tensors)
