"""Rewrites of an ONNX graph. Each states what it requires and ensures, and checks the latter."""

from __future__ import annotations

import ast
import re

import onnx

from edgekit.errors import EdgekitError

SCOPES = "pkg.torch.onnx.name_scopes"
CLASSES = "pkg.torch.onnx.class_hierarchy"


def name_by_module(model: onnx.ModelProto, strip: str) -> None:
    """Names every node and its output after the torch module that made it: `layer1.0.conv1`, `layer1.0.add`.

    Layer-wise reports, sensitivity rankings and the search for the first wrong tensor then speak of the net's own
    parts. A module that runs twice gives `layer1.0.relu` and `layer1.0.relu_1`, in the order of its calls.

    Requires: nodes carry the exporter's scope metadata (others are named by operator); the graph's inputs and outputs
    already have their final names.
    Ensures: names are unique; inputs and outputs of the graph keep theirs.

    Args:
        strip: prefix of module paths to remove, e.g. `net.`.
    """
    graph = model.graph
    fixed = {v.name for v in (*graph.input, *graph.output)}
    renamed: dict[str, str] = {}
    taken = set(fixed)
    for tensor in graph.initializer:
        renamed[tensor.name] = _fresh(tensor.name.removeprefix(strip), taken)
        tensor.name = renamed[tensor.name]
    names: set[str] = set()
    for node in graph.node:
        base = _module_name(node, strip)
        node.name = _fresh(base, names)
        for i, output in enumerate(node.output):
            if output and output not in fixed:
                renamed[output] = _fresh(base if len(node.output) == 1 else f"{base}.{i}", taken)
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    del graph.value_info[:]  # shapes under the old names; shape inference writes them again
    outputs = [o for node in graph.node for o in node.output if o]
    if len(outputs) != len(set(outputs)):
        raise EdgekitError("Renaming gave two tensors one name; this is a defect of edgekit, please report it.")


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


def drop_debug_info(model: onnx.ModelProto) -> None:
    """Removes stack traces, documentation strings and exporter metadata: they name files of the build machine.

    Ensures: nothing but the graph itself is left.
    """
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output, *graph.value_info):
        del part.metadata_props[:]
        part.doc_string = ""


def name_batch(model: onnx.ModelProto, name: str = "N") -> None:
    """Calls the dynamic first dimension of all inputs and outputs `name`, whatever the exporter called it.

    Requires: at most the first dimension is dynamic. Raises EdgekitError otherwise.
    """
    for value in (*model.graph.input, *model.graph.output):
        for i, dim in enumerate(value.type.tensor_type.shape.dim):
            if not dim.HasField("dim_value"):
                if i:
                    raise EdgekitError(f"{value.name} has a dynamic dimension {i}: only the batch may be dynamic.")
                dim.dim_param = name


def expose(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which every float tensor is an output too, for comparing them one by one.

    Requires: shape inference can type the tensors.
    """
    copy = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    have = {o.name for o in copy.graph.output}
    copy.graph.output.extend(
        value
        for value in copy.graph.value_info
        if value.name not in have and value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    )
    return copy
