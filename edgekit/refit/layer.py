"""The layer that gives a detector's scores: found in the graph, read, and replaced."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from edgekit.errors import UsageError

FEATURES, LOGITS = "refit.features", "refit.logits"


@dataclass(frozen=True)
class ScoreLayer:
    """The 1x1 convolution whose outputs, after a sigmoid, are the scores of each class at each place.

    Attributes:
        features, logits: names of its input [N, F, h, w] and output [N, C, h, w].
        weight_name, bias_name: of its initializers.
        weight: float32 [C, F].
        bias: float32 [C].
    """

    features: str
    logits: str
    weight_name: str
    bias_name: str
    weight: NDArray[np.float32]
    bias: NDArray[np.float32]


def score_layer(model: onnx.ModelProto, classes: int) -> ScoreLayer:
    """The layer of an exported detector in float32, large weights stored as float16 or not.

    It is the first convolution that is met on the way back from the sigmoid before the output `scores`.

    Raises:
        UsageError: there is no such layer, as in an int8 file or a net that is no CenterNet.
    """
    makers = {name: node for node in model.graph.node for name in node.output}
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    sigmoid = _first(makers, ["scores"], "Sigmoid")
    found = _first(makers, list(sigmoid.input), "Conv") if sigmoid is not None else None
    if found is None or len(found.input) != 3 or any(name not in weights for name in found.input[1:]):
        raise _unfit("no convolution with float32 weights before the scores")
    weight, bias = (numpy_helper.to_array(weights[name]) for name in found.input[1:])
    if weight.dtype != np.float32 or weight.ndim != 4 or weight.shape[2:] != (1, 1) or len(weight) != classes:
        raise _unfit(f"{found.name} has weights {weight.dtype} {list(weight.shape)}")
    shared = [n.name for n in model.graph.node if n is not found and set(found.input[1:]) & set(n.input)]
    if shared:
        raise _unfit(f"{found.name} shares its weights with {shared[0]}")
    _, weight_name, bias_name = found.input
    return ScoreLayer(found.input[0], found.output[0], weight_name, bias_name, weight[:, :, 0, 0].copy(), bias.copy())


def with_features(model: onnx.ModelProto, layer: ScoreLayer) -> onnx.ModelProto:
    """A copy that gives the layer's input and output, and nothing else."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.output[:]
    for name, source in ((FEATURES, layer.features), (LOGITS, layer.logits)):
        copy.graph.node.append(onnx.helper.make_node("Identity", [source], [name], name=name))
        shape = ["N", len(layer.bias) if name == LOGITS else layer.weight.shape[1], "h", "w"]
        copy.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape))
    needed = _needed(copy.graph)
    kept = [node for node in copy.graph.node if needed & set(node.output)]
    del copy.graph.node[:]
    copy.graph.node.extend(kept)
    return copy


def replaced(
    model: onnx.ModelProto, layer: ScoreLayer, weight: NDArray[np.floating], bias: NDArray[np.floating]
) -> onnx.ModelProto:
    """A copy with other weights in that layer, and nothing else changed."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    new = {
        layer.weight_name: np.asarray(weight, np.float32)[:, :, None, None],
        layer.bias_name: np.asarray(bias, np.float32),
    }
    for tensor in copy.graph.initializer:
        if tensor.name in new:
            tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(new[tensor.name]), tensor.name))
    return copy


def _first(makers: dict[str, onnx.NodeProto], names: list[str], kind: str) -> onnx.NodeProto | None:
    """The node of a kind that is met first on the way back from tensors, breadth first."""
    waiting, seen = deque(names), set(names)
    while waiting:
        node = makers.get(waiting.popleft())
        if node is None:
            continue
        if node.op_type == kind:
            return node
        more = [name for name in node.input if name and name not in seen]
        seen.update(more)
        waiting.extend(more)
    return None


def _needed(graph: onnx.GraphProto) -> set[str]:
    makers = {name: node for node in graph.node for name in node.output}
    waiting, needed = [output.name for output in graph.output], set[str]()
    while waiting:
        name = waiting.pop()
        if name in needed:
            continue
        needed.add(name)
        if name in makers:
            waiting.extend(makers[name].input)
    return needed


def _unfit(got: str) -> UsageError:
    return UsageError(
        "The last layer of this model cannot be fitted again.",
        got=got,
        expected="a CenterNet exported in float32 (edgekit export without --precision int8)",
    )
