"""Rounds weights so that the layer's output, not the weight, stays nearest: GPTQ, and what is left goes into the bias.

Rounding each weight to its nearest step ignores that inputs are correlated and, behind a ReLU, never negative. GPTQ
(Frantar et al. 2022, arXiv 2210.17323, algorithm 1) rounds one input after another and makes the inputs that are still
to come pay for the error, with the second moments of real inputs. The mean of the remaining error is taken off the
bias (Nagel et al. 2019, "Data-Free Quantization through Weight Equalization and Bias Correction", sec. 4.2).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import onnx
from numpy.typing import NDArray

from edgekit.data import Dataset
from edgekit.graph.lint.graph import Graph, attribute, operand
from edgekit.quantize.activation_tap import ActivationTap
from edgekit.quantize.calibrate import Progress, refuse_unfit
from edgekit.quantize.plan import layers_of
from edgekit.quantize.weights import PEAK
from edgekit.spec import PreprocessSpec
from edgekit.vision.preprocess import preprocess

Floats = NDArray[np.float64]

PLACES = 128  # of each picture and layer, spread over the map; more changed nothing that could be measured
DAMPING = 0.01  # of the mean second moment, as in the source
AT_ONCE = 1024  # rows that are multiplied together
BLOCK = 128  # columns whose errors are carried on together
MOST_INPUTS = 8192  # of a layer: the second moments of more do not fit, and it is rounded to the nearest


@dataclass
class InputStatistics:
    """First and second moments of a layer's inputs: sums over `count` places of x [K] and x x^T [K, K].

    Of a convolution in G groups they are [G, K] and [G, K, K]: the groups see different channels.
    """

    first: Floats
    second: NDArray[np.float32]
    count: int = 0
    pending: list[NDArray[np.float32]] = field(default_factory=list)

    @classmethod
    def empty(cls, inputs: int, groups: int = 1) -> InputStatistics:
        """Of a layer with K = `inputs` (of each group), before anything was seen."""
        before = () if groups == 1 else (groups,)
        return cls(np.zeros((*before, inputs)), np.zeros((*before, inputs, inputs), np.float32))

    def add(self, patches: NDArray[np.float32]) -> None:
        """Adds rows [P, K], or [P, G, K]."""
        self.first += patches.sum(axis=0, dtype=np.float64)
        self.count += len(patches)
        self.pending.append(patches)
        if self.first.ndim > 1 or sum(map(len, self.pending)) >= AT_ONCE:
            self.settle()

    def settle(self) -> None:
        """Multiplies what was added: many rows at a time, since [K, K] is 85 MB for 512 channels of 3x3."""
        if self.pending:
            rows = np.moveaxis(np.concatenate(self.pending), 0, -2)
            self.second += rows.swapaxes(-1, -2) @ rows
            self.pending.clear()

    @property
    def mean(self) -> Floats:
        """float64 [K] or [G, K]: the mean of x; zeros where nothing was seen."""
        return np.asarray(self.first / max(self.count, 1))

    def mean_second(self) -> Floats:
        """float64 [K, K] or [G, K, K]: the mean of x x^T, the caller's own."""
        self.settle()
        return np.asarray(self.second.astype(np.float64) / max(self.count, 1))

    def groups(self) -> list[InputStatistics]:
        """Those of each group, in order."""
        self.settle()
        if self.first.ndim == 1:
            return [self]
        return [InputStatistics(*both, self.count) for both in zip(self.first, self.second, strict=True)]


@dataclass(frozen=True)
class Geometry:
    """How a layer reads its input: what a convolution's attributes say, in numbers.

    Attributes:
        tensor: name of the input.
        kernel, strides, dilations: [kh, kw] each; a linear layer has 1 and 1.
        pads: top, left, bottom, right.
        inputs: K, the numbers one output is made of.
        groups: G, of a convolution.
    """

    tensor: str
    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int, int, int]
    inputs: int
    linear: bool
    groups: int = 1

    def patches(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 [P, K] of one picture's [C, h, w] or [..., K]: what is read at no more than `PLACES` places.

        [P, G, K] where there are groups.
        """
        if self.linear:
            rows = values.reshape(-1, self.inputs)
            chosen = np.unique(np.linspace(0, len(rows) - 1, min(PLACES, len(rows))).astype(int))
            return np.ascontiguousarray(rows[chosen])
        top, left, bottom, right = self.pads
        spans = [(k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True)]
        height = (values.shape[1] + top + bottom - spans[0]) // self.strides[0] + 1
        width = (values.shape[2] + left + right - spans[1]) // self.strides[1] + 1
        chosen = np.unique(np.linspace(0, height * width - 1, min(PLACES, height * width)).astype(int))
        down = self._read(chosen // width, 0) - top  # [P, kh], of the picture without its padding
        across = self._read(chosen % width, 1) - left  # [P, kw]
        inside = _within(down, values.shape[1])[:, :, None] & _within(across, values.shape[2])[:, None, :]
        down, across = down.clip(0, values.shape[1] - 1), across.clip(0, values.shape[2] - 1)
        picked = values[:, down[:, :, None], across[:, None, :]] * inside  # [C, P, kh, kw]
        groups = (self.groups,) if self.groups > 1 else ()
        return np.ascontiguousarray(picked.transpose(1, 0, 2, 3).reshape(len(chosen), *groups, -1))

    def _read(self, places: NDArray[np.intp], axis: int) -> NDArray[np.intp]:
        """Where along one axis of the padded map the outputs at `places` read it."""
        return np.asarray(places[:, None] * self.strides[axis] + np.arange(self.kernel[axis]) * self.dilations[axis])


def _within(places: NDArray[np.intp], size: int) -> NDArray[np.bool_]:
    return np.asarray((places >= 0) & (places < size))


def geometry_of(graph: Graph, node: onnx.NodeProto) -> Geometry | None:
    """None for a layer that is rounded to the nearest: padded by name, not two-dimensional, or too wide."""
    weight = graph.constant(operand(node, 1))
    if weight is None:
        return None
    tensor = operand(node, 0)
    inputs = weight.size // weight.shape[0]
    if node.op_type == "MatMul":
        fits = weight.ndim == 2 and len(weight) <= MOST_INPUTS
        return Geometry(tensor, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), len(weight), True) if fits else None
    if node.op_type == "Gemm":
        inputs = weight.size // weight.shape[0 if attribute(node, "transB", 0) else 1]
        plain = attribute(node, "transB", 0) and inputs <= MOST_INPUTS
        return Geometry(tensor, (1, 1), (1, 1), (1, 1), (0, 0, 0, 0), inputs, True) if plain else None
    named = attribute(node, "auto_pad", b"NOTSET") not in (b"NOTSET", b"")
    if weight.ndim != 4 or named or inputs > MOST_INPUTS:
        return None

    def pair(name: str) -> tuple[int, int]:
        first, second = attribute(node, name, [1, 1])
        return int(first), int(second)

    top, left, bottom, right = attribute(node, "pads", [0, 0, 0, 0])
    kernel = (int(weight.shape[2]), int(weight.shape[3]))
    pads, groups = (top, left, bottom, right), int(attribute(node, "group", 1))
    return Geometry(tensor, kernel, pair("strides"), pair("dilations"), pads, inputs, False, groups)


def geometries(model: onnx.ModelProto) -> dict[str, Geometry]:
    """How each layer that can be rounded well reads its input, by the layer's name."""
    graph = Graph(model)
    nodes = {node.name: node for node in graph.nodes}
    found = {layer.name: geometry_of(graph, nodes[layer.name]) for layer in layers_of(model)}
    return {name: geometry for name, geometry in found.items() if geometry is not None}


def round_rows(rows: Floats, scales: Floats, moments: InputStatistics) -> NDArray[np.int8]:
    """int8 [C, K] of weights [C, K] and scales [C]: the steps whose outputs are nearest on inputs of these moments.

    The moments are not centred, although the bias takes up the mean error: on a ResNet-18 that changed nothing.

    With H = U U^T, U upper triangular, input k is rounded after the errors of those before it were added through
    column k of U / diag(U), which is GPTQ without its inverse (Chee et al. 2023, arXiv 2307.13304, theorem 6).
    """
    second = moments.mean_second()
    diagonal = second.diagonal().copy()
    second[np.diag_indices_from(second)] += DAMPING * float(diagonal.mean()) + 1e-12
    order = np.argsort(-diagonal, kind="stable")  # the inputs that matter most are rounded while all others can pay
    backwards = order[::-1]
    lower = np.linalg.cholesky(second[np.ix_(backwards, backwards)])
    upper = lower[::-1, ::-1]
    feedback = upper / upper.diagonal()
    asked = rows[:, order]
    steps = np.empty(asked.shape, np.int8)
    errors = np.zeros(asked.shape)
    for start in range(0, asked.shape[1], BLOCK):
        stop = min(start + BLOCK, asked.shape[1])
        pull = errors[:, :start] @ feedback[:start, start:stop]
        for i in range(start, stop):
            target = asked[:, i] + pull[:, i - start] + errors[:, start:i] @ feedback[start:i, i]
            steps[:, i] = np.clip(np.rint(target / scales), -PEAK, PEAK)
            errors[:, i] = asked[:, i] - steps[:, i] * scales
    result = np.empty_like(steps)
    result[:, order] = steps
    return result


def left_over(rows: Floats, steps: NDArray[np.int8], scales: Floats, moments: InputStatistics) -> Floats:
    """float64 [C]: what the rounded layer lacks on average, to be added to its bias."""
    return np.asarray((rows - steps * scales[:, None]) @ moments.mean)


def output_error(rows: Floats, steps: NDArray[np.int8], scales: Floats, moments: InputStatistics) -> float:
    """Mean squared error of the outputs, over channels and places."""
    lost = rows - steps * scales[:, None]
    second = moments.mean_second()
    power = np.einsum("ck,kl,cl->c", lost, second, lost, optimize=True)
    return float(power.mean())


class Rounder:
    """Rounds the layers of one graph on the moments of its own inputs; a layer with the same scales only once.

    Args:
        moments: of each layer that is rounded so; the others are rounded to the nearest.
    """

    def __init__(self, moments: Mapping[str, InputStatistics]) -> None:
        self.moments = moments
        self._done: dict[tuple[str, bytes], tuple[NDArray[np.int8], Floats]] = {}

    def __call__(
        self, name: str, weight: NDArray[np.float32], scales: Floats, axis: int
    ) -> tuple[NDArray[np.int8], Floats] | None:
        """Steps in the weight's shape and what to add to the bias, float64 [C]; None for a layer without moments."""
        moments = self.moments.get(name)
        if moments is None:
            return None
        key = (name, scales.tobytes())
        if key not in self._done:
            turned = np.moveaxis(weight, axis, 0)
            rows = turned.reshape(len(turned), -1).astype(np.float64)
            steps, lacking = _by_groups(rows, scales, moments.groups())
            placed = np.moveaxis(steps.reshape(turned.shape), 0, axis)
            self._done[key] = (np.ascontiguousarray(placed), lacking)
        return self._done[key]


def _by_groups(rows: Floats, scales: Floats, groups: list[InputStatistics]) -> tuple[NDArray[np.int8], Floats]:
    """Steps [C, K] and what is left over [C]: each group has its own inputs and C / G outputs."""
    parts = list(zip(np.split(rows, len(groups)), np.split(scales, len(groups)), groups, strict=True))
    steps = [round_rows(*part) for part in parts]
    lacking = [left_over(part, found, scale, seen) for found, (part, scale, seen) in zip(steps, parts, strict=True)]
    return np.concatenate(steps), np.concatenate(lacking)


class Moments:
    """Gathers the moments of every layer's inputs while a float32 model is run on pictures.

    `see` takes tensors as they come by, such as the `watch` of `edgekit.quantize.calibrate.calibrate`.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.layers = geometries(model)
        self.of = {name: InputStatistics.empty(one.inputs, one.groups) for name, one in self.layers.items()}
        self.readers: dict[str, list[str]] = defaultdict(list)
        for name, geometry in self.layers.items():
            self.readers[geometry.tensor].append(name)

    def see(self, tensor: str, values: NDArray[np.float32]) -> None:
        """float32 [1, ...], the values of one picture."""
        for name in self.readers.get(tensor, ()):
            self.of[name].add(self.layers[name].patches(values if self.layers[name].linear else values[0]))

    @property
    def seen(self) -> bool:
        """Whether anything was."""
        return any(one.count for one in self.of.values())

    def rounder(self) -> Rounder:
        """What rounds by them."""
        for one in self.of.values():
            one.settle()
        return Rounder(self.of)


def rounder(
    model: onnx.ModelProto,
    dataset: Dataset,
    spec: PreprocessSpec,
    *,
    progress: Progress = lambda done, total: None,
    threads: int = 0,
) -> Rounder:
    """Measures the inputs of every layer of a float32 model on the pictures that it is calibrated on.

    Raises as `calibrate` does.
    """
    refuse_unfit(dataset)
    moments = Moments(model)
    with ActivationTap(model, threads, only=set(moments.readers)) as exposed:
        for done, sample in enumerate(dataset):
            for tensor, values, _ in exposed.run(preprocess(sample.read(), spec), spec):
                moments.see(tensor, values)
            progress(done + 1, len(dataset))
    return moments.rounder()
