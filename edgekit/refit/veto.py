"""A veto: places that look as a marked false alarm did, around which one class is shown no more. In numpy and as nodes.

A look is what the net sees around one place: the features before the scores at 5 x 5 places, 2 apart, each by its 12
principal components, which tell as much as all of them at a third of the cost. One place's own features do not tell a
false alarm from the real thing, or the net would not have shown it; its surroundings do, where the camera stands still.
It is the nearest-prototype rule (T. Cover and P. Hart, "Nearest neighbor pattern classification", 1967, sec. 2) with a
limit: what is near to no prototype is left as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgekit.refit.layer import ScoreLayer

STEP, ACROSS = 2, 5  # a look's 5 x 5 places are 2 apart
EDGE = STEP * (ACROSS // 2)
COMPONENTS = 12
REACH = 3  # places around one that looks so, in which the class is not shown either: the same thing's other scores
_SHARP = 10.0  # from none to all of it within a tenth of the squared radius
_BELOW = 20.0  # of a logit, that all of it takes away

Looks = NDArray[np.float32]  # [M, 25 Q], Q components at 5 x 5 places


@dataclass(frozen=True, eq=False)
class Veto:
    """Where one class is not shown.

    Attributes:
        label: the class.
        basis: float32 [F, Q], from features to components.
        centres: [K, 25 Q], looks.
        radius: float64 [K], how far a look may be from that centre.
    """

    label: int
    basis: NDArray[np.float32]
    centres: Looks
    radius: NDArray[np.float64]

    def taken(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """What it takes from the class's logits: float64 [h, w] of features [h, w, F]."""
        height, width = features.shape[:2]
        near = np.zeros((height, width))
        for y in range(height):  # all looks of a picture at once would be 60 MB
            at = np.stack([np.full(width, y), np.arange(width)], axis=1)
            squared = squared_distances(self.centres, looks_at(features, at, self.basis))
            inside = np.clip(_SHARP * (1 - squared / np.square(self.radius)[:, None]), 0, 1)
            near[y] = inside.max(axis=0)
        padded = np.pad(near, REACH)
        spread = np.lib.stride_tricks.sliding_window_view(padded, (2 * REACH + 1,) * 2)
        return np.asarray(spread.max(axis=(2, 3)) * _BELOW)


@dataclass(frozen=True, eq=False)
class Fit:
    """A score layer after learning: float64 weights [C, F], bias [C], and what is taken away behind it."""

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    vetoes: tuple[Veto, ...] = ()

    def logits(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """float64 [h, w, C] of features [h, w, F]."""
        logits: NDArray[np.float64] = np.add(features @ self.weight.T, self.bias)
        for veto in self.vetoes:
            logits[:, :, veto.label] -= veto.taken(features)
        return logits


def looks_at(features: NDArray[np.float32], at: NDArray[np.int64], basis: NDArray[np.float32]) -> Looks:
    """The looks of places [M, 2] (row, column) of a picture's features [h, w, F]; beyond the edge is as at the edge."""
    padded = np.pad(features @ basis, ((EDGE, EDGE), (EDGE, EDGE), (0, 0)), mode="edge")
    steps = range(0, 2 * EDGE + 1, STEP)
    return np.concatenate([padded[at[:, 0] + y, at[:, 1] + x] for y in steps for x in steps], axis=1)


def squared_distances(a: Looks, b: Looks) -> NDArray[np.float64]:
    """float64 [N, M] of [N, D] and [M, D]."""
    lengths = np.square(a.astype(np.float64)).sum(1)[:, None] + np.square(b.astype(np.float64)).sum(1)
    return np.asarray(np.maximum(0.0, lengths - 2 * (a @ b.T).astype(np.float64)))


def with_vetoes(model: onnx.ModelProto, layer: ScoreLayer, vetoes: tuple[Veto, ...]) -> onnx.ModelProto:
    """A copy whose score layer's outputs are less what the vetoes take; the same model where there are none."""
    if not vetoes:
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    (place,) = [i for i, node in enumerate(copy.graph.node) if layer.logits in node.output]
    raw = "refit.scored"
    copy.graph.node[place].output[0] = raw
    nodes, constants = _nodes(layer, vetoes, raw)
    behind = list(copy.graph.node[place + 1 :])
    del copy.graph.node[place + 1 :]
    copy.graph.node.extend([*nodes, *behind])
    copy.graph.initializer.extend(constants)
    return copy


def _nodes(
    layer: ScoreLayer, vetoes: tuple[Veto, ...], raw: str
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """From the layer's features and raw scores to its scores."""
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []
    classes = len(layer.bias)

    def constant(name: str, value: NDArray[np.generic]) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value), f"refit.{name}"))
        return f"refit.{name}"

    def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        name = output if output.startswith("refit.") else "refit.scores"  # the layer has its output's name
        nodes.append(helper.make_node(kind, inputs, [output], name=name, **attributes))
        return output

    around = {"dilations": [STEP, STEP], "kernel_shape": [ACROSS, ACROSS]}
    pads = constant("pads", np.array([0, 0, EDGE, EDGE] * 2, np.int64))
    scores = raw
    for veto in vetoes:
        at = f"veto{veto.label}"
        size = veto.basis.shape[1]
        basis = constant(f"{at}.basis", veto.basis.T[:, :, None, None].astype(np.float32))
        components = node("Conv", [layer.features, basis], f"refit.{at}.components", kernel_shape=[1, 1])
        padded = node("Pad", [components, pads], f"refit.{at}.padded", mode="edge")
        squares = node("Mul", [padded, padded], f"refit.{at}.squares")
        ones = constant(f"{at}.ones", np.ones((1, size, ACROSS, ACROSS), np.float32))
        length = node("Conv", [squares, ones], f"refit.{at}.length", **around)
        centres = veto.centres.reshape(-1, ACROSS, ACROSS, size).transpose(0, 3, 1, 2)
        kernel = constant(f"{at}.centres", (-2 * centres).astype(np.float32))
        own = constant(f"{at}.lengths", np.square(veto.centres.astype(np.float64)).sum(1).astype(np.float32))
        across = node("Conv", [padded, kernel, own], f"refit.{at}.across", **around)
        squared = node("Add", [across, length], f"refit.{at}.squared")  # |a|^2 - 2 a.c + |c|^2
        slope = (-_SHARP / np.square(veto.radius)).reshape(1, -1, 1, 1).astype(np.float32)
        sloped = node("Mul", [squared, constant(f"{at}.slope", slope)], f"refit.{at}.sloped")
        sharp = constant(f"{at}.sharp", np.array(_SHARP, np.float32))
        inside = node("Add", [sloped, sharp], f"refit.{at}.inside")
        zero, one = (constant(f"{at}.{name}", np.array(v, np.float32)) for name, v in (("zero", 0), ("one", 1)))
        clipped = node("Clip", [inside, zero, one], f"refit.{at}.clipped")
        axis = constant(f"{at}.axis", np.array([1], np.int64))
        nearest = node("ReduceMax", [clipped, axis], f"refit.{at}.nearest", keepdims=1)
        window = {"kernel_shape": [2 * REACH + 1] * 2, "pads": [REACH] * 4}
        spread = node("MaxPool", [nearest], f"refit.{at}.spread", **window)
        off = np.zeros((1, classes, 1, 1), np.float32)
        off[0, veto.label] = _BELOW
        taken = node("Mul", [spread, constant(f"{at}.off", off)], f"refit.{at}.taken")
        last = veto is vetoes[-1]
        scores = node("Sub", [scores, taken], layer.logits if last else f"refit.{at}.scores")
    return nodes, constants
