"""The graph that the steps of a cleaning work on, and what they say about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgekit.graph.lint.graph import opset_of

_SMALL = 4096  # numbers; larger weights say nothing about shapes
SIZED = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)


@dataclass(frozen=True)
class FoldedNorm:
    """One BatchNormalization of the original.

    Attributes:
        name: of its node.
        into: the layer that does its work now; empty where it stayed.
        difference: largest |d| of what comes out behind it, on random pictures, before and after; NaN where it stayed.
        scale: largest absolute value there.
        reason: why it stayed.
    """

    name: str
    into: str
    difference: float
    scale: float
    reason: str = ""


@dataclass
class Work:
    """A model in the middle of its cleaning; every step changes `model` in place.

    Attributes:
        model: a copy of the original.
        where: how messages call it.
        opset: the one wanted.
        size: (height, width) asked for, or None.
        dynamic: whether a dynamic batch is wanted.
        image: name of the input.
        steps: a sentence for each thing that was done.
        folded: a record for each BatchNormalization.
        batch, reason: the batch that came out, and why it is not `N`.
    """

    model: onnx.ModelProto
    where: str
    opset: int
    size: tuple[int, int] | None
    dynamic: bool
    image: str = ""
    steps: list[str] = field(default_factory=list)
    folded: list[FoldedNorm] = field(default_factory=list)
    batch: int | str = 1
    reason: str = ""

    @property
    def graph(self) -> onnx.GraphProto:
        return self.model.graph

    def tell(self, sentence: str) -> None:
        self.steps.append(sentence)

    def version(self) -> int:
        """Opset of ONNX's own operators, as it is now."""
        return opset_of(self.model)

    def weights(self) -> dict[str, TensorProto]:
        return {tensor.name: tensor for tensor in self.graph.initializer}

    def outputs(self) -> set[str]:
        return {value.name for value in self.graph.output}

    def producers(self) -> dict[str, onnx.NodeProto]:
        return {name: node for node in self.graph.node for name in node.output if name}

    def readers(self) -> dict[str, list[onnx.NodeProto]]:
        found: dict[str, list[onnx.NodeProto]] = {}
        for node in self.graph.node:
            for name in dict.fromkeys(node.input):
                if name:
                    found.setdefault(name, []).append(node)
        return found

    def names(self) -> set[str]:
        """All names of tensors and nodes that are taken."""
        taken = {name for node in self.graph.node for name in (node.name, *node.output)}
        for values in (self.graph.initializer, self.graph.input, self.graph.output):
            taken.update(value.name for value in values)
        return taken

    def set_nodes(self, nodes: Iterable[onnx.NodeProto]) -> None:
        copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del self.graph.node[:]
        self.graph.node.extend(copies)

    def types(self) -> dict[str, onnx.TypeProto]:
        """Types and shapes of all tensors as far as inference finds them, from the inputs on."""
        return inferred(self.model)


def inferred(model: onnx.ModelProto) -> dict[str, onnx.TypeProto]:
    """Types by tensor. What the file states about shapes inside it is not believed; large weights are not copied."""
    light = onnx.ModelProto(ir_version=max(model.ir_version, 8))
    light.opset_import.extend(model.opset_import)
    graph = light.graph
    graph.name = "shapes"
    graph.node.extend(model.graph.node)
    listed = {tensor.name for tensor in model.graph.initializer}
    graph.input.extend(value for value in model.graph.input if value.name not in listed)
    for tensor in model.graph.initializer:
        if np.prod(tensor.dims, dtype=object) <= _SMALL:
            graph.initializer.append(tensor)
        else:
            graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    for value in model.graph.output:
        graph.output.append(helper.make_tensor_value_info(value.name, value.type.tensor_type.elem_type, None))
    done = onnx.shape_inference.infer_shapes(light, strict_mode=False, data_prop=True).graph
    found = {value.name: value.type for value in (*done.input, *done.value_info, *done.output)}
    for tensor in model.graph.initializer:
        found[tensor.name] = helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
    return found


def shape_of(kind: onnx.TypeProto | None) -> tuple[int, ...] | None:
    """The dimensions where all are known."""
    if kind is None or not kind.tensor_type.HasField("shape"):
        return None
    dims = kind.tensor_type.shape.dim
    return tuple(d.dim_value for d in dims) if all(d.HasField("dim_value") for d in dims) else None


def type_of(kind: onnx.TypeProto | None) -> int:
    return int(kind.tensor_type.elem_type) if kind is not None else int(TensorProto.UNDEFINED)


def array(tensor: TensorProto | None) -> NDArray[Any] | None:
    return None if tensor is None else np.asarray(numpy_helper.to_array(tensor))


def drop_attributes(node: onnx.NodeProto, *names: str) -> None:
    """Takes attributes out of a node, where it has them."""
    kept = [a for a in node.attribute if a.name not in names]
    copies = [onnx.AttributeProto.FromString(a.SerializeToString()) for a in kept]
    del node.attribute[:]
    node.attribute.extend(copies)


def title(node: onnx.NodeProto) -> str:
    return str(node.name or next((o for o in node.output if o), node.op_type))[:80]
