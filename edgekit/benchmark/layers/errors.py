"""How far each layer of a file is from the same layer of another: what a precision costs, and where."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgekit.artifacts.onnx_file import Artifact, read_onnx
from edgekit.backends.onnxruntime_ import run_once
from edgekit.benchmark.schema import Layers, Row
from edgekit.graph.passes.expose import with_outputs

PICTURES = 4  # that the errors are taken over
Feeds = Sequence[Mapping[str, NDArray[Any]]]
_COMPUTES = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def layer_errors(reference: Artifact, candidate: Artifact, feeds: Feeds) -> dict[str, float]:
    """Of each convolution and product that both graphs have, the error of its output: the root of the mean square of
    the difference over that of the reference's output, both run as they are on disk, with nothing fused.

    Args:
        feeds: inputs, which must suit both.

    Returns:
        By the candidate's node names. A layer counts as the same where its name and output's shape are.
    """
    nodes = {node.name or node.output[0]: node.output[0] for node in _computing(candidate.model)}
    theirs = {node.name or node.output[0]: node.output[0] for node in _computing(reference.model)}
    common = [name for name in nodes if name in theirs]
    if not common:
        return {}
    sides = ((reference.model, theirs), (candidate.model, nodes))
    models = [with_outputs(model, [held[n] for n in common]).SerializeToString() for model, held in sides]
    wrong, whole = dict.fromkeys(common, 0.0), dict.fromkeys(common, 0.0)
    for feed in feeds:
        a, b = (run_once(model, feed) for model in models)
        for name in common:
            x, y = a[theirs[name]].astype(np.float64), b[nodes[name]].astype(np.float64)
            if x.shape != y.shape:
                wrong[name] = np.nan
                continue
            wrong[name] += float(np.square(x - y).sum())
            whole[name] += float(np.square(x).sum())
    return {n: float(np.sqrt(wrong[n] / whole[n])) for n in common if whole[n] > 0 and np.isfinite(wrong[n])}


def set_errors(layers: Layers, errors: Mapping[str, float]) -> None:
    """Writes each layer's error into it, by the graph's node that it computes."""
    for layer in layers.layers:
        if layer.node is not None:
            layer.error = errors.get(layer.node)


class LayerErrors:
    """The errors of a run's files, each worked out once: runtimes change none."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, int], dict[str, float]] = {}

    def write(self, row: Row, reference: Row | None, artifact: Artifact, feeds: Callable[[int], Feeds]) -> None:
        """Into the row's layers how far each is from the reference's, where that is another file with the same input.

        Args:
            artifact: the row's file.
            feeds: at most so many inputs of its session.
        """
        if row.layers is None or reference is None:
            return
        alike = reference.sha256 == row.sha256 or reference.input != row.input
        if alike or not reference.case.model.endswith(".onnx"):
            return
        key = (reference.sha256, row.sha256, row.case.batch)
        if key not in self._known:
            self._known[key] = layer_errors(read_onnx(Path(reference.case.model)), artifact, feeds(PICTURES))
        set_errors(row.layers, self._known[key])


def _computing(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type in _COMPUTES and node.output]
