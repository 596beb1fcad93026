"""A sequence that only carries the parts of a split, as torch's exporter writes it unoptimized, becomes a Split."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgekit.errors import ArtifactError
from edgekit.graph.builder import fresh
from edgekit.graph.foreign.steps.work import Work, array, shape_of, title
from edgekit.graph.lint.graph import attribute

READ = "SequenceAt"


def sequences(work: Work) -> None:
    """Replaces each SplitToSequence whose parts are read one by one at known places, in place.

    Raises:
        ArtifactError: any other sequence.
    """
    types, weights, readers = work.types(), work.weights(), work.readers()
    names: dict[str, str] = {}
    taken = work.names()
    nodes = []
    for node in work.graph.node:
        if node.op_type == "SplitToSequence":
            sizes = _sizes(node, work, types)
            axis = attribute(node, "axis", 0)
            parts = [fresh(f"{node.output[0]}.{i}", taken) for i in range(len(sizes))]
            split = fresh(f"{node.output[0]}.sizes", taken)
            work.graph.initializer.append(numpy_helper.from_array(np.array(sizes, np.int64), split))
            if work.version() < 13:
                one = helper.make_node("Split", [node.input[0]], parts, node.name, axis=axis, split=sizes)
            else:
                one = helper.make_node("Split", [node.input[0], split], parts, node.name, axis=axis)
            nodes.append(one)
            for reader in readers.get(node.output[0], []):
                at = array(weights.get(reader.input[1])) if reader.op_type == READ else None
                if at is None or not -len(parts) <= int(at) < len(parts):
                    raise _refused(work, reader)
                names[reader.output[0]] = parts[int(at)]
        elif node.op_type != READ or node.output[0] not in names:
            nodes.append(node)
    left = next((n for n in nodes if "Sequence" in n.op_type), None)
    if left is not None:
        raise _refused(work, left)
    if not names:
        return
    identities = [helper.make_node("Identity", [part], [name]) for name, part in names.items()]
    work.set_nodes(_behind(nodes, identities))
    work.tell("sequences of parts became Split")


def _behind(nodes: list[onnx.NodeProto], identities: list[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Each Identity right behind the Split that it reads; `tidy` takes them out."""
    reading = {one.input[0]: [two for two in identities if two.input[0] == one.input[0]] for one in identities}
    return [one for node in nodes for one in (node, *(i for name in node.output for i in reading.get(name, [])))]


def _sizes(node: onnx.NodeProto, work: Work, types: dict[str, onnx.TypeProto]) -> list[int]:
    """Of the parts."""
    shape = shape_of(types.get(node.input[0]))
    split = array(work.weights().get(node.input[1])) if len(node.input) > 1 else None
    if shape is None or split is None:
        raise _refused(work, node)
    if split.ndim:
        return [int(n) for n in split]
    whole, step = shape[attribute(node, "axis", 0)], int(split)
    if step < 1:
        raise _refused(work, node)
    return [min(step, whole - start) for start in range(0, whole, step)]


def _refused(work: Work, node: onnx.NodeProto) -> ArtifactError:
    return ArtifactError(
        f"{work.where} has sequences, optionals or texts.",
        got=f"{node.op_type} {title(node)}",
        expected="tensors of numbers only",
        fix="give the module plain tensors to take and make, and export it again",
    )
