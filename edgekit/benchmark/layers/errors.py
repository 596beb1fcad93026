"""How far each layer of a file is from the same layer of another: what a precision costs, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgekit.artifacts.onnx_file import Artifact
from edgekit.backends.onnxruntime_ import run_once
from edgekit.benchmark.schema import Layers

PICTURES = 4  # that the errors are taken over
_COMPUTES = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def layer_errors(
    reference: Artifact, candidate: Artifact, feeds: Sequence[Mapping[str, NDArray[Any]]]
) -> dict[str, float]:
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
    models = [_exposed(a.model, [held[n] for n in common]) for a, held in ((reference, theirs), (candidate, nodes))]
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


def _computing(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type in _COMPUTES and node.output]


def _exposed(model: onnx.ModelProto, names: Sequence[str]) -> bytes:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    have = {value.name for value in copy.graph.output}
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in have)
    return bytes(copy.SerializeToString())
