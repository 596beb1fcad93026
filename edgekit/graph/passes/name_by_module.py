"""Nodes and tensors are called as the torch modules that made them."""

from __future__ import annotations

import ast
import re
from collections import Counter
from dataclasses import dataclass

import onnx

from edgekit.graph.builder import fresh
from edgekit.graph.passes.base import Pass, names_of

SCOPES = "pkg.torch.onnx.name_scopes"
CLASSES = "pkg.torch.onnx.class_hierarchy"


@dataclass(frozen=True)
class NameByModule(Pass):
    """Names every node and its output after the torch module that made it: `layer1.0.conv1`, `layer1.0.add`.

    Layer-wise reports, sensitivity rankings and the search for the first wrong tensor then speak of the net's own
    parts. A module that runs twice gives `layer1.0.relu` and `layer1.0.relu_1`, in the order of its calls. Nodes
    without the exporter's scope metadata are named by operator.

    Requires: each tensor is made once, and the graph's inputs and outputs already have their final names.
    Ensures: the names of nodes are unique, and those of tensors.

    Attributes:
        strip: prefix of module paths to remove: `net.` is where an export has the net.
    """

    strip: str = "net."

    def requires(self, model: onnx.ModelProto) -> str:
        return _twice(model.graph) or ("an output without a name" if "" in names_of(model.graph.output) else "")

    def ensures(self, model: onnx.ModelProto) -> str:
        nodes = Counter(node.name for node in model.graph.node)
        return _twice(model.graph) or next((f"two nodes called {name}" for name, n in nodes.items() if n > 1), "")

    def rewrite(self, model: onnx.ModelProto) -> bool:
        graph = model.graph
        fixed = {v.name for v in (*graph.input, *graph.output)}
        renamed: dict[str, str] = {}
        taken = set(fixed)
        for tensor in graph.initializer:
            renamed[tensor.name] = fresh(tensor.name.removeprefix(self.strip), taken)
            tensor.name = renamed[tensor.name]
        names: set[str] = set()
        changed = bool(graph.value_info)
        for node in graph.node:
            base = _module_name(node, self.strip)
            name = fresh(base, names)
            changed, node.name = changed or name != node.name, name
            for i, output in enumerate(node.output):
                if output and output not in fixed:
                    renamed[output] = fresh(base if len(node.output) == 1 else f"{base}.{i}", taken)
        for node in graph.node:
            node.input[:] = [renamed.get(name, name) for name in node.input]
            node.output[:] = [renamed.get(name, name) for name in node.output]
        del graph.value_info[:]  # shapes under the old names; shape inference writes them again
        return changed or any(old != new for old, new in renamed.items())


def _twice(graph: onnx.GraphProto) -> str:
    """A tensor that is made more than once, or an empty string."""
    made = Counter((*names_of(graph.input), *(name for node in graph.node for name in node.output if name)))
    return next((f"{name} is made {count} times" for name, count in made.items() if count > 1), "")


def _module_name(node: onnx.NodeProto, strip: str) -> str:
    meta = {p.key: p.value for p in node.metadata_props}
    try:
        scopes = ast.literal_eval(meta.get(SCOPES, "[]"))
        classes = ast.literal_eval(meta.get(CLASSES, "[]"))
    except (ValueError, SyntaxError):
        scopes, classes = [], []
    path = str(scopes[-2]) if len(scopes) >= 2 else ""
    kind = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", node.op_type).lower()
    if not f"{path}.".startswith(strip):
        return f"preprocess.{kind}"  # made by the wrapper around the net
    path = f"{path}.".removeprefix(strip).removesuffix(".")
    leaf = len(classes) >= 2 and str(classes[-2]).startswith("torch.nn.modules.")
    return path if leaf else f"{path}.{kind}".removeprefix(".")
