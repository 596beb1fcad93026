"""Defects of the graph, of the file and of what it says of itself."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgekit.artifacts.metadata import Lineage, Metadata
from edgekit.graph import to_onnx
from edgekit.pipeline import graph, writing
from edgekit.spec import ModelSpec
from tests.faults.planted.defect import LAYER, Graph, Patch

# -- the graph ----------------------------------------------------------------------------------------------------


def edit_graph(change: Callable[[Graph], None]) -> Callable[[Patch], None]:
    """Changes the graph right after torch's exporter made it."""

    def seed(patch: Patch) -> None:
        honest = to_onnx._export

        def export(*arguments: Any, **options: Any) -> Graph:
            model = honest(*arguments, **options)
            change(model)
            return model

        patch.setattr(to_onnx, "_export", export)

    return seed


def weight(model: Graph, ending: str) -> onnx.TensorProto:
    return next(t for t in model.graph.initializer if t.name.endswith(ending))


def set_weight(tensor: onnx.TensorProto, value: NDArray[Any]) -> None:
    tensor.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(value), tensor.name))


def node_of(model: Graph, weight_ending: str) -> onnx.NodeProto:
    return next(n for n in model.graph.node if any(i.endswith(weight_ending) for i in n.input))


def drop_relu(model: Graph) -> None:
    made = node_of(model, "layer1.1.conv1.weight").output[0]
    relu = next(n for n in model.graph.node if n.op_type == "Relu" and n.input[0] == made)
    for node in model.graph.node:
        node.input[:] = [made if name == relu.output[0] else name for name in node.input]
    model.graph.node.remove(relu)


def through_fp16(model: Graph) -> None:
    for tensor in model.graph.initializer:
        value = onnx.numpy_helper.to_array(tensor)
        if value.dtype == np.float32:
            set_weight(tensor, value.astype(np.float16).astype(np.float32))


def swap_two_logits(model: Graph) -> None:
    for name in ("fc.weight", "fc.bias"):
        tensor = weight(model, name)
        value = onnx.numpy_helper.to_array(tensor).copy()
        set_weight(tensor, value[[0, 2, 1, *range(3, len(value))]])


def append_softmax(model: Graph) -> None:
    last = next(n for n in model.graph.node if "logits" in n.output)
    last.output[0] = "before"
    model.graph.node.append(onnx.helper.make_node("Softmax", ["before"], ["logits"], axis=1))


def asymmetric_padding(model: Graph) -> None:
    pads = next(a for a in node_of(model, f"{LAYER}.weight").attribute if a.name == "pads")
    pads.ints[:] = [0, 0, 2, 2]


def channels_first_input(model: Graph) -> None:
    """The graph takes [N, 3, H, W] where everything else says [N, H, W, 3]."""
    value = model.graph.input[0]
    n, h, w, c = [copy.deepcopy(d) for d in value.type.tensor_type.shape.dim]
    del value.type.tensor_type.shape.dim[:]
    value.type.tensor_type.shape.dim.extend([n, c, h, w])
    for node in model.graph.node:
        node.input[:] = ["image.turned" if name == "image" else name for name in node.input]
    turn = onnx.helper.make_node("Transpose", ["image"], ["image.turned"], "turn", perm=[0, 2, 3, 1])
    model.graph.node.insert(0, turn)


def batch_of_two(model: Graph) -> None:
    """What an exporter does that takes the example's batch for a constant."""
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 2


def old_opset(model: Graph) -> None:
    next(o for o in model.opset_import if o.domain == "").version = 19


# -- the file and its metadata ------------------------------------------------------------------------------------


def write_to_disk(change: Callable[[bytes], bytes]) -> Callable[[Patch], None]:
    """What arrives on the disk is not what was written: a full disk, a bad cable, a flipped bit."""
    honest = writing.atomic

    class Stream:
        def __init__(self, stream: Any) -> None:
            self.stream, self.name = stream, stream.name

        def write(self, data: bytes) -> None:
            self.stream.write(change(data))

        def flush(self) -> None:
            self.stream.flush()

    class Atomic:
        def __init__(self, path: Path, *, overwrite: bool = False) -> None:
            self.inner = honest(path, overwrite=overwrite)

        def __enter__(self) -> Stream:
            return Stream(self.inner.__enter__())

        def __exit__(self, *error: Any) -> Any:
            return self.inner.__exit__(*error)

    return lambda patch: patch.setattr(writing, "atomic", Atomic)


def flip_a_weight_bit(data: bytes) -> bytes:
    spoiled = bytearray(data)
    spoiled[len(spoiled) // 2] ^= 0x40
    return bytes(spoiled)


def describe_with(change: Callable[[ModelSpec], ModelSpec]) -> Callable[[Patch], None]:
    """Writes another model's description into the file."""
    honest = graph.Metadata

    def metadata(model: ModelSpec, *rest: Any, **named: Any) -> Metadata:
        return honest(change(model), *rest, **named)

    return lambda patch: patch.setattr(graph, "Metadata", metadata)


def stale_lineage(patch: Patch) -> None:
    patch.setattr(graph, "Lineage", lambda checkpoint, folded: Lineage("0" * 64, folded))
