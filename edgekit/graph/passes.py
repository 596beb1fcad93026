"""Rewrites of an ONNX graph. Each states what it requires and ensures, checks both, and says whether it changed it."""

from __future__ import annotations

import ast
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import onnx

from edgekit.errors import EdgekitError

SCOPES = "pkg.torch.onnx.name_scopes"
CLASSES = "pkg.torch.onnx.class_hierarchy"


class Pass(ABC):
    """One rewrite, in place. Called with a model it gives whether that is another now.

    Every pass leaves the inputs and outputs with their names and in their order; one may add outputs at the end.

    Raises:
        EdgekitError: what it requires does not hold, and nothing was changed; or, by a defect of edgekit, what it
            ensures does not.
    """

    def __call__(self, model: onnx.ModelProto) -> bool:
        name = type(self).__name__
        if problem := self.requires(model):
            raise EdgekitError(f"{name} cannot be run on this graph.", got=problem)
        inputs, outputs = _names(model.graph.input), _names(model.graph.output)
        changed = self.rewrite(model)
        problem = self.ensures(model)
        if _names(model.graph.input) != inputs or _names(model.graph.output)[: len(outputs)] != outputs:
            problem = "inputs or outputs with other names"
        if problem:
            raise EdgekitError(f"{name} made a wrong graph; a defect of edgekit, please report it.", got=problem)
        return changed

    @abstractmethod
    def requires(self, model: onnx.ModelProto) -> str:
        """What it needs and is not there, or an empty string."""

    @abstractmethod
    def rewrite(self, model: onnx.ModelProto) -> bool:
        """Does it; whether anything changed."""

    @abstractmethod
    def ensures(self, model: onnx.ModelProto) -> str:
        """What it promises and is not so afterwards, or an empty string."""


def run_passes(model: onnx.ModelProto, *passes: Pass) -> tuple[str, ...]:
    """Runs them in their order; the names of those that changed the model."""
    return tuple(type(one).__name__ for one in passes if one(model))


@dataclass(frozen=True)
class NameByModule(Pass):
    """Names every node and its output after the torch module that made it: `layer1.0.conv1`, `layer1.0.add`.

    Layer-wise reports, sensitivity rankings and the search for the first wrong tensor then speak of the net's own
    parts. A module that runs twice gives `layer1.0.relu` and `layer1.0.relu_1`, in the order of its calls. Nodes
    without the exporter's scope metadata are named by operator.

    Requires: each tensor is made once, and the graph's inputs and outputs already have their final names.
    Ensures: the names of nodes are unique, and those of tensors.

    Attributes:
        strip: prefix of module paths to remove, e.g. `net.`.
    """

    strip: str

    def requires(self, model: onnx.ModelProto) -> str:
        return _twice(model.graph) or ("an output without a name" if "" in _names(model.graph.output) else "")

    def ensures(self, model: onnx.ModelProto) -> str:
        nodes = Counter(node.name for node in model.graph.node)
        return _twice(model.graph) or next((f"two nodes called {name}" for name, n in nodes.items() if n > 1), "")

    def rewrite(self, model: onnx.ModelProto) -> bool:
        graph = model.graph
        fixed = {v.name for v in (*graph.input, *graph.output)}
        renamed: dict[str, str] = {}
        taken = set(fixed)
        for tensor in graph.initializer:
            renamed[tensor.name] = _fresh(tensor.name.removeprefix(self.strip), taken)
            tensor.name = renamed[tensor.name]
        names: set[str] = set()
        changed = bool(graph.value_info)
        for node in graph.node:
            base = _module_name(node, self.strip)
            name = _fresh(base, names)
            changed, node.name = changed or name != node.name, name
            for i, output in enumerate(node.output):
                if output and output not in fixed:
                    renamed[output] = _fresh(base if len(node.output) == 1 else f"{base}.{i}", taken)
        for node in graph.node:
            node.input[:] = [renamed.get(name, name) for name in node.input]
            node.output[:] = [renamed.get(name, name) for name in node.output]
        del graph.value_info[:]  # shapes under the old names; shape inference writes them again
        return changed or any(old != new for old, new in renamed.items())


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


@dataclass(frozen=True)
class NameBatch(Pass):
    """Calls the dynamic first dimension of all inputs and outputs `name`, whatever the exporter called it.

    Requires: at most the first dimension is dynamic.
    Ensures: the dynamic ones have that name; a fixed batch stays fixed.
    """

    name: str = "N"

    def requires(self, model: onnx.ModelProto) -> str:
        late = next((f"{value} has a dynamic dimension {i}" for value, i, _ in _dynamic(model) if i), "")
        return f"{late}: only the batch may be dynamic" if late else ""

    def ensures(self, model: onnx.ModelProto) -> str:
        return next((f"{v} has a batch {d.dim_param}" for v, _, d in _dynamic(model) if d.dim_param != self.name), "")

    def rewrite(self, model: onnx.ModelProto) -> bool:
        other = [dim for _, _, dim in _dynamic(model) if dim.dim_param != self.name]
        for dim in other:
            dim.dim_param = self.name
        return bool(other)


class Expose(Pass):
    """Makes every float tensor an output too, for comparing them one by one.

    Requires: shape inference can type the tensors.
    Ensures: each float tensor that a node makes is an output.
    """

    def requires(self, model: onnx.ModelProto) -> str:
        try:
            onnx.shape_inference.infer_shapes(model, strict_mode=True)
        except onnx.shape_inference.InferenceError as error:
            return " ".join(str(error).split())[:300]
        return ""

    def ensures(self, model: onnx.ModelProto) -> str:
        hidden = self._hidden(model)
        return f"{hidden[0].name} is no output" if hidden else ""

    def rewrite(self, model: onnx.ModelProto) -> bool:
        typed = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph.value_info
        known = set(_names(model.graph.value_info))
        model.graph.value_info.extend(value for value in typed if value.name not in known)
        hidden = self._hidden(model)
        model.graph.output.extend(hidden)
        return bool(hidden) or len(typed) > len(known)

    def _hidden(self, model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
        """Float tensors of known type that are no outputs."""
        have = set(_names(model.graph.output))
        return [
            value
            for value in model.graph.value_info
            if value.name not in have and value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
        ]


def exposed(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with every float tensor as an output. Raises EdgekitError as `Expose`."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    Expose()(copy)
    return copy


def _names(values: Any) -> list[str]:
    return [value.name for value in values]


def _twice(graph: onnx.GraphProto) -> str:
    """A tensor that is made more than once, or an empty string."""
    made = Counter((*_names(graph.input), *(name for node in graph.node for name in node.output if name)))
    return next((f"{name} is made {count} times" for name, count in made.items() if count > 1), "")


def _dynamic(model: onnx.ModelProto) -> list[tuple[str, int, Any]]:
    """(input or output, position, dimension) of all that have no fixed size."""
    return [
        (value.name, i, dim)
        for value in (*model.graph.input, *model.graph.output)
        for i, dim in enumerate(value.type.tensor_type.shape.dim)
        if not dim.HasField("dim_value")
    ]


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


def _fresh(base: str, taken: set[str]) -> str:
    name, i = base, 0
    while name in taken:
        i += 1
        name = f"{base}_{i}"
    taken.add(name)
    return name
