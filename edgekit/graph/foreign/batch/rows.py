"""Where the rows of a batch are in every tensor of a graph that was exported for one, and what forgets them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgekit.graph.builder import fresh
from edgekit.graph.foreign.steps.work import inferred, shape_of, title
from edgekit.graph.lint.graph import opset_of

COUNT = 7  # of rows, to see where they go; a net has few sevens beside ones


class StuckError(ValueError):
    """The batch cannot be made dynamic; the message says where."""


@dataclass(frozen=True)
class Place:
    """Where the rows of a batch lie in a tensor.

    Attributes:
        axis: dimension that grows with the batch.
        before: how many elements of that dimension stand before each row's: 1 where the row is its slowest part.
    """

    axis: int
    before: int = 1


class Rows:
    """A walk through a graph with a batch of 1 and one of seven.

    Args:
        model: changed in place; all shapes fixed for a batch of 1, all constants weights.
        image: name of the input.
        rewrites: by operator: makes a node, in place, one for any batch, and says whether it was not.
    """

    def __init__(self, model: onnx.ModelProto, image: str, rewrites: Mapping[str, Rewrite]) -> None:
        self.model = model
        self.rewrites = rewrites
        self.one = inferred(model)
        self.many: dict[str, onnx.TypeProto] = {}
        self.places: dict[str, Place] = {}
        self.weights = {tensor.name: tensor for tensor in model.graph.initializer}
        self.nodes: list[onnx.NodeProto] = []
        self.count = 0
        self.taken = {name for node in model.graph.node for name in (node.name, *node.output)} | {*self.weights, image}
        self._begin(image)

    def _begin(self, image: str) -> None:
        shape = shape_of(self.one.get(image))
        if shape is None:
            raise StuckError("the input has no fixed size")
        self.put(image, (COUNT, *shape[1:]), Place(0))

    def walk(self) -> int:
        """Rewrites what holds a batch of 1.

        Returns:
            How many nodes were rewritten.

        Raises:
            StuckError: the rows of a batch get lost or mixed somewhere.
        """
        for node in list(self.model.graph.node):
            if any(name in self.places for name in node.input):
                self._carry(node)
            self.nodes.append(node)
        for value in self.model.graph.output:
            place = self.places.get(value.name)
            shape = shape_of(self.one.get(value.name))
            if place is None or place.axis or shape is None or shape[0] != 1:
                raise StuckError(f"output {value.name} has no row for each picture")
        copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in self.nodes]
        del self.model.graph.node[:]
        self.model.graph.node.extend(copies)
        return self.count

    def _carry(self, node: onnx.NodeProto) -> None:
        """Follows the rows through one node."""
        rewrite = self.rewrites.get(node.op_type)
        if rewrite is not None and rewrite(self, node):
            self.count += 1
        found = self._inferred(node)
        for name in node.output:
            if not name:
                continue
            alone, kind = shape_of(self.one.get(name)), found.get(name)
            shape = shape_of(kind)
            if alone is None or shape is None:
                raise StuckError(f"the shape of {name} depends on the picture ({node.op_type} {title(node)})")
            grown = [i for i, (a, b) in enumerate(zip(alone, shape, strict=False)) if a != b]
            if len(alone) != len(shape) or len(grown) != 1 or shape[grown[0]] != COUNT * alone[grown[0]]:
                raise StuckError(f"{node.op_type} {title(node)} does not keep the rows of a batch apart")
            place = self.places.get(name) or self._inherited(node, grown[0], alone[grown[0]])
            self.put(name, shape, place)

    def _inherited(self, node: onnx.NodeProto, axis: int, size: int) -> Place:
        for name in node.input:
            place = self.places.get(name)
            shape = shape_of(self.one.get(name))
            if place is not None and place.before > 1 and shape is not None and shape[place.axis] == size:
                return Place(axis, place.before)
        return Place(axis)

    def _inferred(self, node: onnx.NodeProto) -> dict[str, onnx.TypeProto]:
        kinds = {name: self.many.get(name) or self.one.get(name) for name in node.input if name}
        lost = next((name for name, kind in kinds.items() if kind is None), None)
        if lost is not None:
            raise StuckError(f"the shape of {lost} is not known")
        version = opset_of(self.model)
        small = {name: self.weights[name] for name in node.input
                 if name in self.weights and prod(self.weights[name].dims) <= 4096}  # fmt: skip
        try:
            return dict(
                onnx.shape_inference.infer_node_outputs(
                    onnx.defs.get_schema(node.op_type, version, ""),
                    node,
                    {name: kind for name, kind in kinds.items() if kind is not None},
                    small,
                    opset_imports=list(self.model.opset_import),
                )
            )
        except (onnx.defs.SchemaError, onnx.shape_inference.InferenceError, onnx.checker.ValidationError) as error:
            raise StuckError(f"{node.op_type} {title(node)} takes a batch of 1 only") from error

    def shape(self, name: str) -> tuple[int, ...]:
        """At a batch of 1. Raises StuckError where it is not known."""
        found = shape_of(self.one.get(name))
        if found is None:
            raise StuckError(f"the shape of {name} is not known")
        return found

    def constant(self, base: str, values: object, kind: type[np.generic]) -> str:
        name = fresh(base, self.taken)
        tensor = numpy_helper.from_array(np.asarray(values, kind), name)
        self.model.graph.initializer.append(tensor)
        self.weights[name] = tensor
        self.one[name] = helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
        return name

    def put(self, name: str, shape: tuple[int, ...], place: Place) -> None:
        kind = self.one[name].tensor_type.elem_type
        self.many[name] = helper.make_tensor_type_proto(kind, shape)
        self.places[name] = place

    def expanded(self, node: onnx.NodeProto, i: int, like: str, axis: int) -> None:
        """Repeats operand `i` of a node for each row, along `axis`, as often as `like` has rows."""
        name = str(node.input[i])
        shape = list(self.shape(name))
        base = f"{title(node)}.rows{i}"
        rows = fresh(f"{base}.count", self.taken)
        whole = fresh(f"{base}.shape", self.taken)
        wide = fresh(f"{base}.expanded", self.taken)
        parts = [rows]
        if axis:
            parts.insert(0, self.constant(f"{base}.first", shape[:axis], np.int64))
        if shape[axis + 1 :]:
            parts.append(self.constant(f"{base}.last", shape[axis + 1 :], np.int64))
        self.nodes.append(helper.make_node("Shape", [like], [rows], name=rows, start=axis, end=axis + 1))
        self.nodes.append(helper.make_node("Concat", parts, [whole], name=whole, axis=0))
        self.nodes.append(helper.make_node("Expand", [name, whole], [wide], name=wide))
        node.input[i] = wide
        self.one[wide] = self.one[name]
        self.put(wide, (*shape[:axis], COUNT, *shape[axis + 1 :]), Place(axis))


Rewrite = Callable[[Rows, onnx.NodeProto], bool]
