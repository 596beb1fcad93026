"""Every node and tensor has a name of its own that can be read: the original's where it is one."""

from __future__ import annotations

import re

from edgekit.graph.builder import fresh
from edgekit.graph.foreign.steps.work import Work

_PLAIN = re.compile(r"[\w./:\-]{1,120}", re.ASCII)
_NUMBER = re.compile(r"\d*|onnx::\w+_\d+")  # the second are what torch calls a weight that it changed
_ROLES = {
    **dict.fromkeys(("Conv", "ConvTranspose", "Gemm"), ("", "weight", "bias")),
    "MatMul": ("", "weight"),
    "BatchNormalization": ("", "scale", "bias", "mean", "var"),
    "PRelu": ("", "slope"),
    "Reshape": ("", "shape"),
    "Resize": ("", "roi", "scales", "sizes"),
    "Slice": ("", "starts", "ends", "axes", "steps"),
    "Clip": ("", "min", "max"),
    "Pad": ("", "pads", "value"),
}


def names(work: Work) -> None:
    """Names what has no readable name of its own, in place; inputs and outputs keep theirs.

    A node without a name is called by its operator and a count, as `conv_12`; what it gives is called like it; a
    weight by the node that reads it first and what it is there, as `conv_12.weight`.
    """
    graph = work.graph
    fixed = {value.name for value in (*graph.input, *graph.output)}
    nodes: set[str] = set()
    kept = {node.name for node in graph.node if _good(node.name)}
    for node in graph.node:
        if not _good(node.name) or node.name in nodes:
            base = _clean(node.name) or node.op_type.lower()
            node.name = fresh(base, nodes | kept)
        nodes.add(node.name)
    taken = fixed | {t for node in graph.node for t in node.output if _good(t)}
    taken |= {tensor.name for tensor in graph.initializer if _good(tensor.name)}
    renamed: dict[str, str] = {}
    for node in graph.node:
        for i, name in enumerate(node.output):
            if name and name not in fixed and not _good(name):
                base = _clean(name) or (node.name if len(node.output) == 1 else f"{node.name}.{i}")
                renamed[name] = fresh(base, taken)
        roles = _ROLES.get(node.op_type, ())
        for i, name in enumerate(node.input):
            if name in renamed or not name or _good(name) or name in fixed:
                continue
            base = _clean(name) or f"{node.name}.{roles[i] if i < len(roles) and roles[i] else f'constant{i}'}"
            renamed[name] = fresh(base, taken)
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    for tensor in graph.initializer:
        tensor.name = renamed.get(tensor.name, tensor.name)
    del graph.value_info[:]


def _good(name: str) -> bool:
    return bool(_PLAIN.fullmatch(name)) and not _NUMBER.fullmatch(name)


def _clean(name: str) -> str:
    """A name with what cannot be typed replaced; empty where nothing of it is readable."""
    found = re.sub(r"[^\w./:\-]+", "_", name[:120], flags=re.ASCII).strip("_")
    return "" if _NUMBER.fullmatch(found) else found
