"""What shapes, names and metadata say of a net: how many places its input has, how many classes, what made it."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import onnx
from numpy.typing import NDArray

from edgekit.graph.decoders.base import Size
from edgekit.graph.lint.graph import Graph
from edgekit.vision.spec import TensorSpec

STRIDES = (8, 16, 32)
MOVES = ("Cast", "Concat", "Flatten", "Identity", "Reshape", "Resize", "Slice", "Squeeze", "Transpose", "Unsqueeze")
LAYERS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def cells(size: Size, strides: tuple[int, ...] = STRIDES) -> int:
    """Cells of all the grids of a net; 0 where a side is no multiple of a stride."""
    height, width = size
    if any(height % stride or width % stride for stride in strides):
        return 0
    return sum((height // stride) * (width // stride) for stride in strides)


def sides_of(spec: TensorSpec) -> tuple[int, ...] | None:
    """The sides behind the batch of a float output; None where there are none, or they are not fixed."""
    sides = tuple(side for side in spec.shape[1:] if isinstance(side, int))
    fits = len(sides) == len(spec.shape) - 1 >= 1 and spec.dtype.startswith("float")
    return sides if fits else None


def batched(spec: TensorSpec, rank: int) -> tuple[int, ...] | None:
    """`sides_of` an output of this rank; None for another one."""
    return sides_of(spec) if len(spec.shape) == rank else None


def without_auxiliary(outputs: Sequence[TensorSpec]) -> list[TensorSpec]:
    """Those that are not the output of a branch that only training needs, which torchvision's nets call `aux`."""
    main = [spec for spec in outputs if "aux" not in spec.name.lower()]
    return main or list(outputs)


def class_names(props: Mapping[str, str]) -> tuple[str, ...]:
    """Those that Ultralytics' exporter writes, `{0: 'person', ..}`; none where there are none that can be read."""
    text = props.get("names", "")
    if len(text) > 1_000_000:
        return ()
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return ()
    if isinstance(found, dict):
        try:
            ordered = {int(key): value for key, value in found.items()}
        except (TypeError, ValueError):
            return ()
        if sorted(ordered) != list(range(len(ordered))):
            return ()
        found = [ordered[i] for i in range(len(ordered))]
    if not isinstance(found, (list, tuple)) or not all(isinstance(name, str) and name for name in found):
        return ()
    return tuple(found)


def behind_layers(model: onnx.ModelProto, output: str) -> set[str]:
    """Kinds of the nodes between a net's last layers and one of its outputs, layers among them."""
    return {node.op_type for node in _behind_layers(Graph(model), output)}


def constants_behind_layers(model: onnx.ModelProto, output: str) -> Iterator[NDArray[Any]]:
    """The constants that those nodes read, without the layers' weights."""
    graph = Graph(model)
    for node in _behind_layers(graph, output):
        if node.op_type not in LAYERS:
            for name in node.input:
                value = graph.constant(name)
                if value is not None:
                    yield value


def _behind_layers(graph: Graph, output: str) -> Iterator[onnx.NodeProto]:
    waiting, seen = [output], set[str]()
    while waiting:
        name = waiting.pop()
        node = graph.producer(name)
        if node is None or name in seen:
            continue
        seen.add(name)
        yield node
        if node.op_type not in LAYERS:
            waiting += [given for given in node.input if given]


def last_kind(model: onnx.ModelProto, output: str) -> str:
    """Kind of the last node before an output that computes something: Softmax, Sigmoid, Add ..

    A softmax that is written out, exp(x) divided by its sum, counts as one. What only moves numbers is passed over; of
    several parts that are put together the last one counts.
    """
    graph = Graph(model)
    node = graph.producer(output)
    while node is not None and node.op_type in MOVES:
        given = [name for name in node.input if not graph.is_constant(name)]
        node = graph.producer(given[-1 if node.op_type == "Concat" else 0]) if given else None
    if node is None:
        return ""
    if node.op_type == "Div":
        first = graph.producer(node.input[0], "Exp")
        total = graph.producer(node.input[1], "ReduceSum")
        if first is not None and total is not None and total.input[0] == node.input[0]:
            return "Softmax"
    return str(node.op_type)
