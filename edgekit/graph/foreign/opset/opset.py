"""The opset becomes exactly the one that the target names.

onnx's own converter stops where it has no adapter (Resize of opset 10), and gives up a graph as a whole. Here each node
is looked up in ONNX's own schemas: what they say changed is either a rewrite of `upgrades`, or adds only what a node
need not use. Anything else is refused by name.
"""

from __future__ import annotations

import onnx
from onnx import defs, helper

from edgekit.errors import ArtifactError
from edgekit.graph.foreign.opset.fits import misfit, schema
from edgekit.graph.foreign.opset.upgrades import UPGRADES, Upgrade
from edgekit.graph.foreign.steps.work import Work, title

IR = 10  # what edgekit writes, and onnxruntime reads since 1.18


def opset(work: Work) -> None:
    """Raises or lowers the opset, in place.

    Raises:
        ArtifactError: an operator that the file's opset or the wanted one does not have, or that changed its meaning.
    """
    have, want = work.version(), work.opset
    if have != want:
        edit = Upgrade(work)
        for node in work.graph.node:
            _node(node, have, want, edit)
        work.set_nodes(edit.nodes)
        work.tell(f"opset {have} became {want}")
    del work.model.opset_import[:]
    work.model.opset_import.append(helper.make_opsetid("", want))
    work.model.ir_version = max(IR, helper.find_min_ir_version_for(list(work.model.opset_import)))


def _node(node: onnx.NodeProto, have: int, want: int, edit: Upgrade) -> None:
    """Appends what stands for `node` at the wanted opset."""
    old = schema(node.op_type, have)
    assert old is not None  # the step `fits` has seen to it
    start = len(edit.nodes)
    edit.nodes.append(node)
    for version, (op_type, rewrite) in UPGRADES:
        if have < version <= want:
            for one in list(edit.nodes[start:]):
                if one.op_type == op_type:
                    edit.at = version
                    rewrite(edit, one)
    for one in edit.nodes[start:]:
        new = schema(one.op_type, want)
        if new is None:
            raise _unknown(one, want, edit.work, "an opset of the target that has it, or a file of an older opset")
        _defaults(one, old if one is node else new, new)
        if problem := misfit(one, new):
            raise ArtifactError(
                f"{edit.work.where} has an operator that changed its meaning between opset {have} and {want}.",
                got=f"{one.op_type} {title(one)}: {problem}",
                expected=f"operators of opset {want}",
                fix=f"export it again with opset {want}",
            )


def _defaults(node: onnx.NodeProto, old: defs.OpSchema, new: defs.OpSchema) -> None:
    """Writes down what a node left to a default that changed, and takes out what is the default of a removed one."""
    for name, was in old.attributes.items():
        now = new.attributes.get(name)
        given = next((a for a in node.attribute if a.name == name), None)
        if now is not None and given is None and was.default_value.name and was.default_value != now.default_value:
            node.attribute.append(was.default_value)
        elif now is None and given is not None and given == was.default_value:
            node.attribute.remove(given)


def _unknown(node: onnx.NodeProto, version: int, work: Work, expected: str) -> ArtifactError:
    return ArtifactError(
        f"{work.where} has an operator that ONNX's opset {version} does not have.",
        got=f"{node.op_type[:80]} {title(node)}",
        expected=expected,
        fix="export it again with opset 11 to 20",
    )
