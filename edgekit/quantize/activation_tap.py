"""The values of a model's tensors on a picture: each float tensor as an output, in as many runs as memory asks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgekit.backends import Arrays
from edgekit.backends.onnxruntime_ import OnnxRuntimeSession
from edgekit.errors import InputError
from edgekit.graph import passes
from edgekit.graph.lint.graph import Graph
from edgekit.spec import PreprocessSpec
from edgekit.vision.preprocess import normalise

AT_ONCE = 256 << 20  # bytes of tensors held at the same time


class ActivationTap:
    """The model with its float tensors as outputs beside its own, in as many sessions as keep a run below `AT_ONCE`.

    Args:
        only: names of the tensors that are wanted; None for all.
    """

    def __init__(self, model: onnx.ModelProto, threads: int, only: Collection[str] | None = None) -> None:
        full = passes.exposed(model)
        self.relu_masks = relu_masks(model)
        # in the order of execution: the first that is not finite is where it came from
        order = {name: i for i, node in enumerate(model.graph.node) for name in node.output}
        values = sorted(full.graph.output, key=lambda value: order.get(value.name, -1))
        groups = _groups([v for v in values if only is None or v.name in only])
        if only is None:  # whole numbers that the model gives, such as labels
            groups[-1] |= {v.name for v in model.graph.output if v.type.tensor_type.elem_type != onnx.TensorProto.FLOAT}
        self.sessions = []
        for names in groups:
            part = onnx.ModelProto()
            part.CopyFrom(full)
            del part.graph.output[:]
            part.graph.output.extend(v for v in values if v.name in names)
            self.sessions.append(OnnxRuntimeSession(part.SerializeToString(), threads=threads))
        image = self.sessions[0].inputs[0]
        if image.name != "image" or len(self.sessions[0].inputs) != 1:
            raise InputError("The model cannot be fed with pictures.", got=str(image), expected="one input: image")
        self.input_wanted = only is None or "image" in only
        self.float_input = image.dtype == "float32"
        self.batch = image.shape[0] if isinstance(image.shape[0], int) else 1

    def run(
        self, pixels: NDArray[np.uint8], spec: PreprocessSpec
    ) -> Iterator[tuple[str, NDArray[Any], NDArray[np.bool_] | None]]:
        """Every tensor's values for one picture, and which of them matter; a fixed batch is filled with it."""
        block = np.stack([pixels] * self.batch)
        feed = normalise(block, spec) if self.float_input else block
        if self.float_input and self.input_wanted:
            yield "image", feed[:1], None
        for session in self.sessions:
            results: Arrays = session.run({"image": feed})
            for name, array in results.items():
                judge = results.get(self.relu_masks.get(name, ""))
                yield name, self._one(array), None if judge is None else self._one(judge) > 0

    def _one(self, values: NDArray[Any]) -> NDArray[Any]:
        """Those of one picture: several rows where a net cuts pictures into windows along the batch, as Swin's do."""
        return values[: max(1, len(values) // self.batch)] if values.ndim else values

    def __enter__(self) -> ActivationTap:
        return self

    def __exit__(self, *_: object) -> None:
        for session in self.sessions:
            session.close()


def relu_masks(model: onnx.ModelProto) -> dict[str, str]:
    """Tensor that only a residual Add reads -> the ReLU's output behind it.

    Where that output is 0 the tensor's value was far below what the other branch could lift: as long as it stays low
    nobody sees what it is, and a range that spends steps on it is too wide.
    """
    graph = Graph(model)
    found = {}
    for node in graph.of_type("Add"):
        readers = graph.consumers(node.output[0])
        if len(readers) == 1 and readers[0].op_type == "Relu" and not graph.is_output(node.output[0]):
            found.update({name: readers[0].output[0] for name in node.input if len(graph.consumers(name)) == 1})
    return found


def _groups(values: Iterable[onnx.ValueInfoProto]) -> list[set[str]]:
    """Names of those that are float32, in groups of at most `AT_ONCE` bytes at batch 1."""
    groups: list[set[str]] = [set()]
    held = 0
    for value in values:
        if value.type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
            continue
        size = 4 * int(np.prod([d.dim_value or 1 for d in value.type.tensor_type.shape.dim], dtype=np.int64))
        if held + size > AT_ONCE and groups[-1]:
            groups.append(set())
            held = 0
        groups[-1].add(value.name)
        held += size
    return groups
