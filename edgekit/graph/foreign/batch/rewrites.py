"""What holds a batch of 1, operator by operator, and how it is said for any."""

from __future__ import annotations

from math import prod

import numpy as np
import onnx
from onnx import helper

from edgekit.graph.builder import fresh
from edgekit.graph.foreign.batch.rows import COUNT, Place, Rewrite, Rows, StuckError
from edgekit.graph.foreign.steps.work import array, drop_attributes, title
from edgekit.graph.lint.graph import attribute


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


REWRITES: dict[str, Rewrite] = {
    "Reshape": _reshape,
    "Expand": _expand,
    "Resize": _resize,
    "Concat": _concat,
    "Gather": _gather,
    "Slice": _slice,
    **dict.fromkeys(("LSTM", "GRU", "RNN"), _recurrent),
}
