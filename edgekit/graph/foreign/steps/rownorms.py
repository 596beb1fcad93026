"""A LayerNorm that was written out in single operators becomes LayerNormalization, which runtimes know as a whole."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgekit.graph.builder import fresh
from edgekit.graph.foreign.steps.work import Work
from edgekit.graph.lint.graph import Graph
from edgekit.graph.lint.norms import WrittenNorm, written_norms

OPSET = 17  # the first that has it


def rownorms(work: Work) -> None:
    """Puts one node in the place of each chain over the last dimensions whose inner tensors nobody else reads."""
    if work.version() < OPSET:
        return
    graph = Graph(work.model)
    done = [norm for norm in written_norms(graph) if _fits(graph, norm)]
    if not done:
        return
    taken = work.names()
    last = {norm.nodes[-1]: norm for norm in done}
    gone = {name for norm in done for name in norm.nodes}
    nodes = []
    for node in work.graph.node:
        if node.name in last:
            nodes.append(_whole(work, graph, last[node.name], node.name, taken))
        elif node.name not in gone:
            nodes.append(node)
    work.set_nodes(nodes)
    work.tell(f"{len(done)} LayerNorms that were written out in single operators became LayerNormalization")


def _fits(graph: Graph, norm: WrittenNorm) -> bool:
    if not norm.centred or not norm.output or not _sides(graph, norm):
        return False
    names = set(norm.nodes)
    inner = [name for node in graph.nodes if node.name in names for name in node.output if name != norm.output]
    if any(graph.is_output(name) or {n.name for n in graph.consumers(name)} - names for name in inner):
        return False
    sides = _sides(graph, norm)
    return all(_trimmed(graph, name) == sides for name in (norm.gain, norm.bias) if name)


def _sides(graph: Graph, norm: WrittenNorm) -> tuple[int, ...]:
    """Of the dimensions that it is over, or empty where they are not the last ones or not known."""
    shape = graph.shape(norm.tensor)
    if shape is None:
        return ()
    axes = sorted(axis % len(shape) for axis in norm.axes)
    sides = [side for side in shape[axes[0] :] if side is not None]
    return tuple(sides) if axes == list(range(axes[0], len(shape))) and len(sides) == len(axes) else ()


def _trimmed(graph: Graph, name: str) -> tuple[int | None, ...]:
    """A constant's shape without ones in front, which broadcasting does not need."""
    shape = list(graph.shape(name) or ())
    while len(shape) > 1 and shape[0] == 1:
        shape.pop(0)
    return tuple(shape)


def _whole(work: Work, graph: Graph, norm: WrittenNorm, name: str, taken: set[str]) -> onnx.NodeProto:
    sides = _sides(graph, norm)
    inputs = [norm.tensor]
    for kind, given in (("gain", norm.gain), ("bias", norm.bias)):
        if kind == "bias" and not given:
            continue
        value = graph.constant(given) if given else np.ones(sides)
        assert value is not None
        stored = fresh(f"{name}.{kind}", taken)
        work.graph.initializer.append(numpy_helper.from_array(value.reshape(sides).astype(np.float32), stored))
        inputs.append(stored)
    return helper.make_node("LayerNormalization", inputs, [norm.output], name, axis=-len(sides), epsilon=norm.epsilon)
