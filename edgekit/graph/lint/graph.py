"""A read-only view of an ONNX graph that answers what the rules ask: who makes a tensor, who reads it, what it is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, numpy_helper

from edgekit.artifacts.onnx_file import graphs_of

Array: TypeAlias = npt.NDArray[Any]

# A Constant's value is held in one of these attributes (ONNX operator specification, Constant).
_CONSTANT_LISTS = ("value_float", "value_floats", "value_int", "value_ints")


class Graph:
    """Nodes and tensors of a model and of the bodies of its If, Loop and Scan nodes, in the order of the file.

    Nothing is read from other files: the values of external tensors stay unknown.

    Args:
        model: is not changed.
        expected_opset: what the target asked for; None when it did not.
    """

    def __init__(self, model: onnx.ModelProto, expected_opset: int | None = None) -> None:
        self.expected_opset = expected_opset
        self.inference_error = ""
        try:
            model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        except onnx.shape_inference.InferenceError as error:
            self.inference_error = " ".join(str(error).split())
            model = onnx.shape_inference.infer_shapes(model)
        self.opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), None)
        self.scopes = tuple(graphs_of(model.graph))
        self.nodes = tuple(node for scope in self.scopes for node in scope.node)
        self.initializers = {t.name: t for scope in self.scopes for t in scope.initializer}
        # Before IR version 4 initializers had to be listed as inputs too; nobody feeds those.
        self.inputs = tuple(v for v in model.graph.input if v.name not in self.initializers)
        self.outputs = tuple(model.graph.output)
        self.types = {v.name: v.type for scope in self.scopes for v in (*scope.value_info, *scope.output, *scope.input)}
        self._producers = {name: node for node in self.nodes for name in node.output if name}
        self._consumers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in self.nodes:
            for name in dict.fromkeys(node.input):
                self._consumers[name].append(node)

    def of_type(self, *op_types: str) -> Iterator[onnx.NodeProto]:
        """Nodes of ONNX's own operators with these names."""
        return (node for node in self.nodes if node.op_type in op_types and node.domain in ("", "ai.onnx"))

    def producer(self, tensor: str, *op_types: str) -> onnx.NodeProto | None:
        """The node that makes a tensor; with `op_types`, only if it is one of them."""
        node = self._producers.get(tensor)
        return node if node is None or not op_types or node.op_type in op_types else None

    def consumers(self, tensor: str) -> list[onnx.NodeProto]:
        return self._consumers.get(tensor, [])

    def is_output(self, tensor: str) -> bool:
        return any(v.name == tensor for v in self.outputs)

    def dtype(self, tensor: str) -> int:
        """Element type as in TensorProto; UNDEFINED when it is not known or not a tensor."""
        if tensor in self.initializers:
            return int(self.initializers[tensor].data_type)
        known = self.types.get(tensor)
        return int(known.tensor_type.elem_type) if known is not None else int(TensorProto.UNDEFINED)

    def shape(self, tensor: str) -> tuple[int | None, ...] | None:
        """Dimensions, None for a dynamic one; None instead of a tuple when not even the rank is known."""
        if tensor in self.initializers:
            return tuple(self.initializers[tensor].dims)
        known = self.types.get(tensor)
        if known is None or not known.tensor_type.HasField("shape"):
            return None
        return tuple(d.dim_value if d.HasField("dim_value") else None for d in known.tensor_type.shape.dim)

    def is_constant(self, tensor: str) -> bool:
        return tensor in self.initializers or self.producer(tensor, "Constant") is not None

    def constant(self, tensor: str) -> Array | None:
        """The value of an initializer or Constant node; None for anything else and for external data."""
        if tensor in self.initializers:
            return _value(self.initializers[tensor])
        node = self.producer(tensor, "Constant")
        if node is None:
            return None
        held = attribute(node, "value", None)
        if isinstance(held, TensorProto):
            return _value(held)
        numbers = next((attribute(node, name, None) for name in _CONSTANT_LISTS if has(node, name)), None)
        return None if numbers is None else np.asarray(numbers)

    def constants(self) -> Iterator[tuple[str, Array]]:
        """All initializers and Constant nodes whose values are in the file."""
        names = (*self.initializers, *(node.output[0] for node in self.of_type("Constant")))
        return ((name, value) for name in names if (value := self.constant(name)) is not None)

    def tensor_protos(self) -> Iterator[TensorProto]:
        """Every stored tensor: initializers, sparse ones, and those in attributes."""
        for scope in self.scopes:
            yield from scope.initializer
            for sparse in scope.sparse_initializer:
                yield from (sparse.values, sparse.indices)
        for node in self.nodes:
            for a in node.attribute:
                yield from ([a.t] if a.HasField("t") else [])
                yield from a.tensors

    def entries(self, *dtypes: int) -> Iterator[str]:
        """Where tensors of these types enter: inputs, initializers, and what a node makes from other types."""
        yield from (v.name for v in self.inputs if self.dtype(v.name) in dtypes)
        yield from (name for name in self.initializers if self.dtype(name) in dtypes)
        for node in self.nodes:
            if not any(self.dtype(name) in dtypes for name in node.input):
                yield from (name for name in node.output if self.dtype(name) in dtypes)


def _value(tensor: TensorProto) -> Array | None:
    external = tensor.data_location == TensorProto.EXTERNAL
    return None if external else np.asarray(numpy_helper.to_array(tensor))


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """An attribute's value, or the default that the operator's specification gives it."""
    return next((onnx.helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)


def has(node: onnx.NodeProto, name: str) -> bool:
    return any(a.name == name for a in node.attribute)


def operand(node: onnx.NodeProto, i: int) -> str:
    """Name of an input; empty where an optional one is left out."""
    return node.input[i] if i < len(node.input) else ""


def title(node: onnx.NodeProto) -> str:
    """What to call a node: its name, else that of its first output."""
    return node.name or next((o for o in node.output if o), node.op_type)


def opset_of(model: onnx.ModelProto) -> int:
    """Version of ONNX's own operators."""
    return max(int(o.version) for o in model.opset_import if o.domain in ("", "ai.onnx"))


def type_name(dtype: int) -> str:
    name: str = TensorProto.DataType.Name(dtype)
    return name.lower()
