"""Every node is one that ONNX's schema of its operator describes, before any step relies on that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx
from onnx import defs

from edgekit.errors import ArtifactError
from edgekit.graph.foreign.steps.work import Work, title
from edgekit.screen import count_of


def fits(work: Work) -> None:
    """Changes nothing. Raises ArtifactError for a node with other inputs or attributes than its operator has."""
    version = work.version()
    waiting: list[Sequence[onnx.NodeProto]] = [work.graph.node]
    while waiting:
        for node in waiting.pop():
            known = schema(node.op_type, version)
            if known is None:
                raise ArtifactError(
                    f"{work.where} has an operator that ONNX's opset {version} does not have.",
                    got=f"{node.op_type[:80]} {title(node)}",
                    expected="operators of the file's own opset",
                    fix="export it again with opset 11 to 20",
                )
            if problem := misfit(node, known):
                raise ArtifactError(
                    f"{work.where} has a node that is not what its operator says.",
                    got=f"{node.op_type} {title(node)}: {problem}",
                    expected=f"{node.op_type} as in ONNX's opset {version}",
                    fix="export it again",
                )
            for a in node.attribute:
                waiting += [graph.node for graph in ([a.g] if a.HasField("g") else []) + list(a.graphs)]


def schema(op_type: str, version: int) -> defs.OpSchema | None:
    """What ONNX says of an operator at an opset; None where it has none, or no longer."""
    try:
        found = defs.get_schema(op_type, version, "")
    except defs.SchemaError:
        return None
    return None if found.deprecated else found


def misfit(node: onnx.NodeProto, known: defs.OpSchema) -> str:
    """Why a node is none of a schema's; empty where it is."""
    names = [a.name for a in node.attribute]
    if len(set(names)) != len(names):
        return "an attribute twice"
    for a in node.attribute:
        if a.name not in known.attributes:
            return f"the attribute {a.name[:40]}"
        kind: Any = known.attributes[a.name].type  # an enumeration that onnx's stubs do not know as one
        if kind.value != a.type:
            return f"the attribute {a.name[:40]} of another type"
    lacking = [name for name, a in known.attributes.items() if a.required and name not in names]
    if lacking:
        return f"no attribute {lacking[0]}"
    if not known.min_input <= len(node.input) <= known.max_input:
        return f"{count_of(len(node.input), 'input')}"
    if not known.min_output <= len(node.output) <= known.max_output:
        return f"{count_of(len(node.output), 'output')}"
    single = defs.OpSchema.FormalParameterOption.Single
    for i, name in enumerate(node.input):
        if not name and known.inputs[min(i, len(known.inputs) - 1)].option == single:
            return f"no input {known.inputs[i].name}"
    return ""
