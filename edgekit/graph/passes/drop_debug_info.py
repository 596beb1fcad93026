"""What the exporter wrote beside the graph is dropped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import onnx

from edgekit.graph.passes.base import Pass


class DropDebugInfo(Pass):
    """Removes stack traces, documentation strings and exporter metadata: they name files of the build machine.

    Requires: nothing.
    Ensures: nothing but the graph itself is left, in the bodies of If and Loop too.
    """

    def requires(self, model: onnx.ModelProto) -> str:
        return ""

    def ensures(self, model: onnx.ModelProto) -> str:
        return "debug information" if any(part.metadata_props or part.doc_string for part in _parts(model)) else ""

    def rewrite(self, model: onnx.ModelProto) -> bool:
        changed = False
        for part in _parts(model):
            changed |= bool(part.metadata_props or part.doc_string)
            del part.metadata_props[:]
            part.doc_string = ""
        return changed


def _parts(model: onnx.ModelProto) -> Iterator[Any]:
    """All that may carry metadata or a documentation string."""
    yield model
    graphs = [model.graph]
    while graphs:
        graph = graphs.pop()
        yield graph
        for parts in (graph.initializer, graph.input, graph.output, graph.value_info, graph.node):
            yield from parts
        for attribute in (a for node in graph.node for a in node.attribute):
            graphs += [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]
