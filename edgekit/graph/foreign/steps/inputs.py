"""One input called `image`, of one size; weights are no inputs."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from edgekit.errors import ArtifactError, UsageError
from edgekit.graph.foreign.refuse import SIDE
from edgekit.graph.foreign.steps.work import Work

IMAGE = "image"
TYPES = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE, TensorProto.UINT8)
CHANNELS = (3, 1, 4)  # of a picture, the likelier ones first


def inputs(work: Work) -> None:
    """Takes weights out of the inputs, names the one that is left and fixes its size, at a batch of 1.

    Raises:
        ArtifactError: not exactly one input, or one that is no picture.
        UsageError: a size that contradicts the file's, or none where it has none.
    """
    graph = work.graph
    weights = work.weights()
    listed = [value for value in graph.input if value.name in weights]
    for value in listed:
        graph.input.remove(value)
    if listed:
        work.tell(f"{len(listed)} weights were listed as inputs, and are weights only")
    if len(graph.input) != 1:
        names = ", ".join(f"{v.name} {_shown(v)}" for v in list(graph.input)[:6]) or "no input"
        raise ArtifactError(
            f"{work.where} has not exactly one input.",
            got=names,
            expected="one picture",
            fix="export it with the other inputs as constants of the module",
        )
    value = graph.input[0]
    kind = value.type.tensor_type
    dims = [d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else None for d in kind.shape.dim]
    if len(dims) != 4 or kind.elem_type not in TYPES or not any(n in CHANNELS or n is None for n in (dims[1], dims[3])):
        raise ArtifactError(
            f"{work.where} does not take a picture.",
            got=f"{value.name} {_shown(value)}",
            expected="float32, float16, float64 or uint8 in [N, 3, h, w] or [N, h, w, 3]",
            fix="export the part of it that begins with a picture",
        )
    if dims[0] not in (None, 1):
        raise ArtifactError(
            f"{work.where} takes only whole batches.",
            got=f"{value.name} {_shown(value)}",
            expected="a batch of 1, or a dynamic one",
            fix="export it with a batch of 1",
        )
    shape = _fixed(work, value.name, dims)
    if len(value.name) and value.name != IMAGE:
        _rename(graph, value.name, IMAGE, work)
    changed = [*dims] != [*shape]
    value.CopyFrom(helper.make_tensor_value_info(IMAGE, kind.elem_type, shape))
    work.image = IMAGE
    del graph.value_info[:]
    if changed:
        work.tell(f"the input is fixed at {_times(shape)}")


def _fixed(work: Work, name: str, dims: list[int | None]) -> tuple[int, ...]:
    """Batch, channels, height and width in the file's layout. Raises UsageError, ArtifactError."""
    last = dims[3] in CHANNELS and dims[1] not in CHANNELS
    channels = dims[3] if last else dims[1]
    sides = (dims[1], dims[2]) if last else (dims[2], dims[3])
    asked = work.size
    if asked is None and None in sides:
        raise UsageError(
            f"{work.where} takes pictures of any size, so one must be named.",
            got=f"{name} [{', '.join('?' if d is None else str(d) for d in dims)}]",
            expected="the height and width it was trained with",
            fix="--size HEIGHTxWIDTH",
        )
    if asked is not None and any(s is not None and s != a for s, a in zip(sides, asked, strict=True)):
        raise UsageError(
            f"{work.where} takes pictures of one size only.",
            got=f"{asked[0]}x{asked[1]}",
            expected=f"{sides[0] or asked[0]}x{sides[1] or asked[1]} (height x width)",
            fix="leave the size out, or export the net with another one",
        )
    height, width = asked or (int(sides[0] or 0), int(sides[1] or 0))
    if not (1 <= height <= SIDE and 1 <= width <= SIDE):
        raise ArtifactError(
            f"{work.where} takes pictures of a size that is not tried.",
            got=f"{height}x{width}",
            expected=f"1 to {SIDE} pixels a side",
        )
    if channels is not None:
        return (1, height, width, channels) if last else (1, channels, height, width)
    for count in CHANNELS:
        for shape in ((1, count, height, width), (1, height, width, count)):
            if _fits(work, name, shape):
                return shape
    raise ArtifactError(
        f"{work.where} does not say how many channels its input has.",
        got=f"{name} with dynamic channels",
        expected="1, 3 or 4 channels",
        fix="export it with all dimensions but the batch fixed",
    )


def _fits(work: Work, name: str, shape: tuple[int, ...]) -> bool:
    """Whether shapes can be inferred all the way with this one."""
    trial = onnx.ModelProto()
    trial.CopyFrom(work.model)
    for value in trial.graph.input:
        value.CopyFrom(helper.make_tensor_value_info(name, value.type.tensor_type.elem_type, shape))
    del trial.graph.value_info[:]
    for output in trial.graph.output:
        output.type.tensor_type.ClearField("shape")
    try:
        onnx.shape_inference.infer_shapes(trial, strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError:
        return False
    return True


def _rename(graph: onnx.GraphProto, old: str, new: str, work: Work) -> None:
    """Calls the input `new`; what had that name gets another."""
    if new in work.outputs():
        raise ArtifactError(
            f"{work.where} has an output called {new}, which is what edgekit calls the input.",
            got=new,
            expected="another name",
            fix="export it with other output_names",
        )
    taken = work.names()
    other = next(f"{new}_{i}" for i in range(1, len(taken) + 2) if f"{new}_{i}" not in taken)
    names = {old: new, new: other}
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    waiting = [graph]
    while waiting:
        for node in waiting.pop().node:
            node.input[:] = [names.get(name, name) for name in node.input]
            node.output[:] = [names.get(name, name) for name in node.output]
            waiting += [g for a in node.attribute for g in ([a.g] if a.HasField("g") else []) + list(a.graphs)]
    work.tell(f"the input {old} is called {new}")


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _shown(value: onnx.ValueInfoProto) -> str:
    kind = value.type.tensor_type
    name = TensorProto.DataType.Name(kind.elem_type) if kind.elem_type in TensorProto.DataType.values() else "?"
    dims = (str(d.dim_value) if d.HasField("dim_value") else d.dim_param[:20] or "?" for d in kind.shape.dim)
    return f"{name.lower()}[{', '.join(dims)}]"
