"""What does not depend on the picture is computed once: constants, arithmetic on shapes, branches always taken.

The values come from onnxruntime, node by node, as the original computes them in every run.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgekit.errors import ArtifactError
from edgekit.graph.builder import fresh
from edgekit.graph.foreign.run import run
from edgekit.graph.foreign.steps.work import Work, array, shape_of, title, type_of
from edgekit.graph.lint.graph import attribute
from edgekit.reading.limits import MB, size
from edgekit.screen import count_of

LARGEST = 512 * MB  # bytes of one constant that is computed
SECONDS = 300  # for all of them; exporters' take less than one
ROUNDS = 50  # of shapes that let constants be computed that let shapes be inferred
KEPT = frozenset({"QuantizeLinear", "DequantizeLinear"})  # a quantized weight stays one
# onnxruntime takes and gives arrays of these
PLAIN = frozenset("float32 float16 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 bool".split())  # noqa: SIM905
_LISTS = ("value_float", "value_floats", "value_int", "value_ints")


def constants(work: Work) -> None:
    """Replaces whatever can be known without the picture by weights, in place.

    Raises:
        ArtifactError: an If that the picture decides, or a constant over the limit.
    """
    before = len(work.graph.node)
    _cast_likes(work)
    for _ in range(ROUNDS):
        if not (_branches(work) | _fold(work)):
            break
    left = next((node for node in work.graph.node if node.op_type == "If"), None)
    if left is not None:
        raise ArtifactError(
            f"{work.where} takes another way for another picture.",
            got=f"If {title(left)} on {left.input[0][:80]}",
            expected="a graph without control flow",
            fix="export one branch; torch.where chooses between values",
        )
    if len(work.graph.node) < before:
        work.tell(f"{count_of(before - len(work.graph.node), 'node')} that no picture changes became constants")


def _cast_likes(work: Work) -> None:
    """A cast to another tensor's type is one to the type that it has; the tensor itself need not be known."""
    types = work.types()
    for node in work.graph.node:
        kind = type_of(types.get(node.input[1])) if node.op_type == "CastLike" else 0
        if kind:
            node.op_type = "Cast"
            node.input.pop()
            node.attribute.append(helper.make_attribute("to", kind))


def _fold(work: Work) -> bool:
    """One walk through the nodes; whether anything became a constant."""
    types = work.types()
    known: dict[str, TensorProto] = dict(work.weights())
    started = time.monotonic()
    outputs = work.outputs()
    kept: list[onnx.NodeProto] = []
    new: list[TensorProto] = []
    for node in work.graph.node:
        if time.monotonic() - started > SECONDS:
            raise ArtifactError(
                f"{work.where} has constants that take too long to compute.",
                got=f"{len(new)} in {SECONDS} s",
                expected="a graph whose constants are weights",
                fix="export it again with constants folded",
            )
        values = _values(node, types, known, work)
        if values is None:
            kept.append(node)
            continue
        for name, value in zip(node.output, values, strict=False):
            if name:
                known[name] = value
                new.append(value)
    if not new:
        return False
    for name in sorted(outputs & {tensor.name for tensor in new}):
        known[name].name = fresh(f"{name}.value", work.names())  # an output must come from a node
        kept.append(helper.make_node("Identity", [known[name].name], [name], name=f"{name}.identity"))
        _point(kept[:-1], name, known[name].name)
    work.set_nodes(kept)
    work.graph.initializer.extend(new)
    read = {name for node in work.graph.node for name in node.input} | {
        name for node in work.graph.node for a in node.attribute if a.HasField("g") for name in _reads(a.g)
    }
    unread = [tensor for tensor in work.graph.initializer if tensor.name not in read]
    for tensor in unread:
        work.graph.initializer.remove(tensor)
    return True


def _point(nodes: list[onnx.NodeProto], old: str, new: str) -> None:
    for node in nodes:
        node.input[:] = [new if name == old else name for name in node.input]


def _reads(graph: onnx.GraphProto) -> set[str]:
    found = {value.name for value in graph.output}
    for node in graph.node:
        found.update(node.input)
        for a in node.attribute:
            for inner in ([a.g] if a.HasField("g") else []) + list(a.graphs):
                found |= _reads(inner)
    return found


def _values(
    node: onnx.NodeProto, types: dict[str, onnx.TypeProto], known: dict[str, TensorProto], work: Work
) -> list[TensorProto] | None:
    """The outputs of a node that the picture does not change, or None."""
    if node.op_type == "Constant":
        return [_constant(node)]
    if node.op_type in ("Shape", "Size"):
        shape = shape_of(types.get(node.input[0]))
        if shape is None:
            return None
        if node.op_type == "Size":
            return [numpy_helper.from_array(np.array(np.prod(shape, dtype=np.int64)), node.output[0])]
        start, end = attribute(node, "start", 0), attribute(node, "end", None)
        return [numpy_helper.from_array(np.array(shape[slice(start, end)], np.int64), node.output[0])]
    if node.op_type in KEPT or any(a.HasField("g") or a.graphs for a in node.attribute):
        return None
    if not node.output or any(name and name not in known for name in node.input):
        return None
    if node.op_type == "Identity":
        if node.output[0] in work.outputs():
            return None
        copy = TensorProto()
        copy.CopyFrom(known[node.input[0]])
        copy.name = node.output[0]
        return [copy]
    return _computed(node, known, work)


def _constant(node: onnx.NodeProto) -> TensorProto:
    held = next(iter(node.attribute), None)
    value = TensorProto()
    if held is not None and held.name == "value" and held.HasField("t"):
        value.CopyFrom(held.t)
    elif held is not None and held.name in _LISTS:
        number = helper.get_attribute_value(held)
        kind = np.float32 if "float" in held.name else np.int64
        value.CopyFrom(numpy_helper.from_array(np.asarray(number, kind)))
    else:
        raise ArtifactError(
            "A Constant holds no number.", got=title(node), expected="a tensor of numbers", fix="export it again"
        )
    value.name = node.output[0]
    return value


def _computed(node: onnx.NodeProto, known: dict[str, TensorProto], work: Work) -> list[TensorProto] | None:
    """A node run on its own in onnxruntime, where the size of what comes out is known and bearable."""
    tensors = [known[name] for name in dict.fromkeys(node.input) if name]
    shapes = _sizes(node, tensors, work)
    if shapes is None:
        return None
    feed: dict[str, NDArray[Any]] = {}
    inside = []
    for tensor in tensors:
        value = array(tensor)
        if value is not None and value.dtype.name in PLAIN:
            feed[tensor.name] = value
        else:
            inside.append(tensor)
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in tensors if t.name in feed],
        [onnx.ValueInfoProto(name=name) for name in node.output if name],
        inside,
    )
    model = helper.make_model(graph, opset_imports=work.model.opset_import, ir_version=8)
    for output, shape in zip(model.graph.output, shapes, strict=False):
        output.type.CopyFrom(shape)
    try:
        found = run(model, feed)
    except ArtifactError:
        return None
    return [numpy_helper.from_array(np.asarray(found[name]), name) if name else TensorProto() for name in node.output]


def _sizes(node: onnx.NodeProto, tensors: list[TensorProto], work: Work) -> list[onnx.TypeProto] | None:
    """Types of the outputs; None where inference does not know them. Raises ArtifactError for too large ones."""
    try:
        schema = onnx.defs.get_schema(node.op_type, work.version(), "")
        given = {t.name: helper.make_tensor_type_proto(t.data_type, t.dims) for t in tensors}
        small = {t.name: t for t in tensors if np.prod(t.dims, dtype=object) <= 4096}
        found = onnx.shape_inference.infer_node_outputs(
            schema, node, given, small, opset_imports=list(work.model.opset_import)
        )
    except (onnx.defs.SchemaError, onnx.shape_inference.InferenceError, onnx.checker.ValidationError):
        return None
    kinds = []
    for name in node.output:
        kind = found.get(name) if name else None
        shape = shape_of(kind)
        if not name:
            continue
        if kind is None or (shape is None and node.op_type not in ("NonZero", "Range", "Unique", "Compress")):
            return None
        count = int(np.prod(shape, dtype=object)) if shape is not None else 0
        if node.op_type == "Range":
            count = _length(tensors)
        if count * 8 > LARGEST:
            raise ArtifactError(
                f"{work.where} computes a constant over edgekit's limit.",
                got=f"{title(node)} {list(shape or [count])}",
                expected=f"at most {size(LARGEST)}",
                fix="export it again with constants folded",
            )
        kinds.append(kind)
    return kinds


def _length(tensors: list[TensorProto]) -> int:
    """How many numbers a Range gives."""
    numbers = [float(np.asarray(numpy_helper.to_array(t)).reshape(-1)[0]) for t in tensors]
    if len(numbers) != 3 or not numbers[2] or not np.all(np.isfinite(numbers)):
        return 0
    return max(0, int((numbers[1] - numbers[0]) / numbers[2]) + 1)


def _branches(work: Work) -> bool:
    """Puts the nodes of the branch that is always taken in the place of an If."""
    weights = work.weights()
    nodes: list[onnx.NodeProto] = []
    taken = work.names()
    changed = False
    for node in work.graph.node:
        condition = array(weights.get(node.input[0])) if node.op_type == "If" else None
        if condition is None:
            nodes.append(node)
            continue
        branch = attribute(node, "then_branch" if bool(condition.reshape(-1)[0]) else "else_branch")
        nodes += _spliced(branch, node, taken, work)
        changed = True
    if changed:
        work.set_nodes(nodes)
    return changed


def _spliced(branch: onnx.GraphProto, node: onnx.NodeProto, taken: set[str], work: Work) -> list[onnx.NodeProto]:
    base = node.name or node.output[0]
    inside = [name for inner in branch.node for name in inner.output if name] + [t.name for t in branch.initializer]
    names = {name: fresh(f"{base}.{name}", taken) for name in inside}
    for tensor in branch.initializer:
        copy = TensorProto.FromString(tensor.SerializeToString())
        copy.name = names[tensor.name]
        work.graph.initializer.append(copy)
    found = []
    for inner in branch.node:
        copy_node = onnx.NodeProto.FromString(inner.SerializeToString())
        copy_node.name = fresh(f"{base}.{inner.name or inner.op_type}", taken)
        _renamed(copy_node, names)
        found.append(copy_node)
    for output, value in zip(node.output, branch.output, strict=True):
        if output:
            source = names.get(value.name, value.name)
            found.append(helper.make_node("Identity", [source], [output], name=fresh(f"{base}.identity", taken)))
    return found


def _renamed(node: onnx.NodeProto, names: dict[str, str]) -> None:
    node.input[:] = [names.get(name, name) for name in node.input]
    node.output[:] = [names.get(name, name) for name in node.output]
    for a in node.attribute:
        for graph in ([a.g] if a.HasField("g") else []) + list(a.graphs):
            for inner in graph.node:
                _renamed(inner, names)
            for value in graph.output:
                value.name = names.get(value.name, value.name)
