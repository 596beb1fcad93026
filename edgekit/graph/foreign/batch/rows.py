"""Where the rows of a batch are in every tensor of a graph that was exported for one, and what forgets them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgekit.graph.foreign.steps.work import array, attribute, drop_attributes, fresh, inferred, shape_of, title

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
    """

    def __init__(self, model: onnx.ModelProto, image: str) -> None:
        self.model = model
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
        rewrite = REWRITES.get(node.op_type)
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
        version = max(int(o.version) for o in self.model.opset_import if o.domain in ("", "ai.onnx"))
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


def _reshape(rows: Rows, node: onnx.NodeProto) -> bool:
    """The dimension that takes up the rows becomes -1, the others are what they are for one picture."""
    source, target = node.input[0], node.output[0]
    place = rows.places.get(source)
    if place is None:
        return False
    before, after = rows.shape(source), rows.shape(target)
    outer = prod(before[: place.axis]) * place.before
    starts = [prod(after[:i]) for i in range(len(after) + 1)]
    at = next((i for i in range(len(after)) if starts[i] == outer), None)
    if at is None:  # rows that follow something else within one dimension
        at = next((i for i in range(len(after)) if starts[i] < outer < starts[i + 1]), None)
    if at is None:
        raise StuckError(f"Reshape {title(node)} has no dimension for the rows of a batch")
    shape = [-1 if i == at else n for i, n in enumerate(after)]
    old = array(rows.weights.get(node.input[1]))
    rows.places[target] = Place(at, outer // starts[at])
    drop_attributes(node, "allowzero")
    if old is not None and old.tolist() == shape:
        return False
    node.input[1] = rows.constant(f"{title(node)}.shape", shape, np.int64)
    return True


def _expand(rows: Rows, node: onnx.NodeProto) -> bool:
    """A 1 in the shape of an Expand leaves a dimension as it is."""
    place = rows.places.get(node.input[0])
    shape = array(rows.weights.get(node.input[1]))
    if place is None or shape is None:
        return False
    at = place.axis + len(shape) - len(rows.shape(node.input[0]))
    if at < 0 or shape[at] == 1:
        return False
    if shape[at] != rows.shape(node.input[0])[place.axis]:
        raise StuckError(f"Expand {title(node)} repeats the rows of a batch")
    node.input[1] = rows.constant(f"{title(node)}.shape", [1 if i == at else n for i, n in enumerate(shape)], np.int64)
    return True


def _resize(rows: Rows, node: onnx.NodeProto) -> bool:
    """Sizes hold the batch: they become scales where these give the same sizes, else sizes of two axes."""
    if len(node.input) < 4 or not node.input[3] or attribute(node, "axes"):
        return False
    before, after = rows.shape(node.input[0]), rows.shape(node.output[0])
    policy = attribute(node, "keep_aspect_ratio_policy", b"stretch")
    scales = [np.float32(b / a) for a, b in zip(before, after, strict=True)]
    exact = all(int(np.floor(np.float32(a) * s)) == b and float(s) == b / a
                for a, b, s in zip(before, after, scales, strict=True))  # fmt: skip
    if exact and policy == b"stretch":
        node.input[:] = [node.input[0], "", rows.constant(f"{title(node)}.scales", scales, np.float32)]
        return True
    axes = [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
    node.attribute.append(helper.make_attribute("axes", axes))
    sizes = rows.constant(f"{title(node)}.sizes", [after[i] for i in axes], np.int64)
    node.input[:] = [node.input[0], "", "", sizes]
    return True


def _concat(rows: Rows, node: onnx.NodeProto) -> bool:
    """What is the same for every picture, such as a class token, is repeated for each."""
    like = next(name for name in node.input if name in rows.places)
    place = rows.places[like]
    shape = rows.shape(like)
    joined = attribute(node, "axis") % len(shape)
    alone = [i for i, name in enumerate(node.input) if name not in rows.places]
    if not alone:
        return False
    if joined == place.axis or shape[place.axis] != 1:
        raise StuckError(f"Concat {title(node)} joins the rows of a batch with something else")
    for i in alone:
        rows.expanded(node, i, like, place.axis)
    return True


def _gather(rows: Rows, node: onnx.NodeProto) -> bool:
    """Places of one flattened picture (torch's as_strided) become places of each row of a batch."""
    place = rows.places.get(node.input[0])
    places = array(rows.weights.get(node.input[1]))
    whole = place is not None and len(rows.shape(node.input[0])) == 1 and place.before == 1
    if not whole or places is None or places.ndim < 1 or places.shape[0] != 1 or np.any(places < 0):
        return False
    size, base = rows.shape(node.input[0])[0], title(node)
    table = fresh(f"{base}.table", rows.taken)
    to = rows.constant(f"{base}.table.shape", [-1, size], np.int64)
    rows.nodes.append(helper.make_node("Reshape", [node.input[0], to], [table], name=table))
    kind = rows.one[node.input[0]].tensor_type.elem_type
    rows.one[table] = helper.make_tensor_type_proto(kind, (1, size))
    rows.put(table, (COUNT, size), Place(0))
    node.input[0] = table
    node.input[1] = rows.constant(f"{base}.places", places[0], np.int64)
    drop_attributes(node, "axis")
    node.attribute.append(helper.make_attribute("axis", 1))
    return True


def _slice(rows: Rows, node: onnx.NodeProto) -> bool:
    """From the first row to the only one is from the first to the last."""
    place = rows.places.get(node.input[0])
    numbers = [array(rows.weights.get(name)) if name else None for name in (*node.input[1:], "", "")][:4]
    starts, ends, axes, steps = numbers
    if place is None or starts is None or ends is None or rows.shape(node.input[0])[place.axis] != 1:
        return False
    over = [int(a) % len(rows.shape(node.input[0])) for a in (range(len(starts)) if axes is None else axes)]
    if place.axis not in over:
        return False
    at = over.index(place.axis)
    if starts[at] > 0 or ends[at] < 1 or (steps is not None and steps[at] != 1):
        return False
    last = [np.iinfo(ends.dtype).max if i == at else int(end) for i, end in enumerate(ends)]
    node.input[2] = rows.constant(f"{title(node)}.ends", last, ends.dtype.type)
    return True


def _recurrent(rows: Rows, node: onnx.NodeProto) -> bool:
    """A first state of zeros is what a recurrent layer begins with anyway."""
    changed = False
    for i in (5, 6):
        state = array(rows.weights.get(node.input[i])) if len(node.input) > i and node.input[i] else None
        if state is not None and not np.any(state):
            node.input[i] = ""
            changed = True
    return changed


REWRITES: dict[str, Callable[[Rows, onnx.NodeProto], bool]] = {
    "Reshape": _reshape,
    "Expand": _expand,
    "Resize": _resize,
    "Concat": _concat,
    "Gather": _gather,
    "Slice": _slice,
    **dict.fromkeys(("LSTM", "GRU", "RNN"), _recurrent),
}
