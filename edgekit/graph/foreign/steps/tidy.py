"""What changes nothing is taken out: Identity, Dropout, casts to the same type, and nodes that nobody reads."""

from __future__ import annotations

import numpy as np
import onnx

from edgekit.graph.foreign.steps.work import Work, array, shape_of, type_of
from edgekit.graph.lint.graph import attribute
from edgekit.screen import count_of

# give what they are given where the shape comes out as it went in, for one picture as for many
SAME_SHAPE = frozenset({"Reshape", "Expand", "Slice", "Flatten", "Tile", "Squeeze", "Unsqueeze"})
ALWAYS = frozenset({"Identity", "Dropout"})


def tidy(work: Work) -> None:
    """Takes out nodes that give what they are given, then nodes and weights that nobody reads; in place."""
    before = len(work.graph.node)
    _dead(work)  # a mask that nobody reads is gone when its Dropout is looked at
    _merge_through(work)
    _dead(work)
    if gone := before - len(work.graph.node):
        work.tell(f"{count_of(gone, 'node')} that change nothing were removed")


def _merge_through(work: Work) -> None:
    types = work.types()
    outputs = work.outputs()
    given = {value.name for value in work.graph.input}
    made = {name for node in work.graph.node for name in node.output}
    names: dict[str, str] = {}
    kept = []
    for node in work.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        if not _changes_nothing(node, types, work):
            kept.append(node)
            continue
        source, target = node.input[0], node.output[0]
        if target not in outputs:
            names[target] = source
        elif source in made and source not in outputs and source not in given:
            _take_name(kept, source, target)  # the node before makes the output itself
            names = {old: target if new == source else new for old, new in names.items()}
            names[source] = target
        else:
            kept.append(node)
    work.set_nodes(kept)


def _take_name(nodes: list[onnx.NodeProto], old: str, new: str) -> None:
    for node in nodes:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]


def _changes_nothing(node: onnx.NodeProto, types: dict[str, onnx.TypeProto], work: Work) -> bool:
    if not node.input or not node.input[0] or sum(bool(name) for name in node.output) != 1 or not node.output[0]:
        return False
    before, after = types.get(node.input[0]), types.get(node.output[0])
    if node.op_type in ALWAYS:
        return True
    if node.op_type == "Cast":
        return type_of(before) == type_of(after) != 0
    if node.op_type == "Concat":
        return len(node.input) == 1
    if node.op_type == "Transpose":
        perm = attribute(node, "perm")
        return perm is not None and list(perm) == sorted(perm)
    if node.op_type in SAME_SHAPE:
        shape = shape_of(before)
        return shape is not None and shape == shape_of(after) and not _turned(node, work)
    return False


def _turned(node: onnx.NodeProto, work: Work) -> bool:
    """Whether a Slice may run backwards."""
    if node.op_type != "Slice" or len(node.input) < 5 or not node.input[4]:
        return False
    steps = array(work.weights().get(node.input[4]))
    return steps is None or bool(np.any(steps < 0))


def _optional(node: onnx.NodeProto, i: int, version: int) -> bool:
    outputs = onnx.defs.get_schema(node.op_type, version, "").outputs
    return i < len(outputs) and outputs[i].option == onnx.defs.OpSchema.FormalParameterOption.Optional


def _dead(work: Work) -> None:
    read = work.outputs()
    kept = []
    for node in reversed(work.graph.node):
        if read & set(node.output):
            kept.append(node)
            read.update(name for name in node.input if name)
            for i, name in enumerate(node.output):
                if name and name not in read and _optional(node, i, work.version()):
                    node.output[i] = ""  # such as a Dropout's mask or a MaxPool's indices
            while not node.output[-1]:
                node.output.pop()
    work.set_nodes(reversed(kept))
    for tensor in [t for t in work.graph.initializer if t.name not in read]:
        work.graph.initializer.remove(tensor)
