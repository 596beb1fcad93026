"""One run of a graph in onnxruntime as it stands, for comparing what a step of the cleaning made of it."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from edgekit.errors import ArtifactError, BackendError

SECONDS = 300  # for one run; a net for an edge device takes less than one


def run(
    model: onnx.ModelProto | bytes, feed: Mapping[str, NDArray[Any]], outputs: Sequence[str] | None = None
) -> dict[str, NDArray[Any]]:
    """The outputs by name for one feed; as `runs`."""
    return runs(model, [feed], outputs)[0]


def runs(
    model: onnx.ModelProto | bytes, feeds: Sequence[Mapping[str, NDArray[Any]]], outputs: Sequence[str] | None = None
) -> list[dict[str, NDArray[Any]]]:
    """The outputs by name for each feed; nothing of the graph is fused or folded before.

    Raises:
        ArtifactError: onnxruntime refuses the graph, or it takes longer than five minutes.
        BackendError: onnxruntime is not installed.
    """
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise BackendError(
            "Adopting an ONNX runs it in onnxruntime.", got=str(error), fix="pip install 'edgekit[cpu]'"
        ) from error
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    data = model if isinstance(model, bytes) else model.SerializeToString()
    limits = ort.RunOptions()
    limits.log_severity_level = 4
    clock = threading.Timer(SECONDS, lambda: setattr(limits, "terminate", True))
    clock.daemon = True
    try:
        session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        names = list(outputs or (value.name for value in session.get_outputs()))
        clock.start()
        found = [session.run(names, dict(feed), limits) for feed in feeds]
    except Exception as error:  # onnxruntime's exceptions have no common base but this one
        raise ArtifactError(
            "onnxruntime does not run this graph.",
            got=" ".join(str(error).split())[:600],
            expected="a graph that onnxruntime runs on random numbers",
            fix="see that the original file runs in onnxruntime, in float32; export it again if not",
        ) from error
    finally:
        clock.cancel()
    return [{name: np.asarray(value) for name, value in zip(names, values, strict=True)} for values in found]


def difference(got: NDArray[Any], expected: NDArray[Any]) -> tuple[float, float]:
    """Largest |difference| and largest |expected|; infinite where shapes or places of NaN and infinity differ."""
    if got.shape != expected.shape:
        return float("inf"), 0.0
    a, b = got.astype(np.float64), expected.astype(np.float64)
    finite = np.isfinite(b)
    if not np.array_equal(np.isfinite(a), finite) or not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return float("inf"), 0.0
    if not finite.any():
        return 0.0, 0.0
    return float(np.abs(a[finite] - b[finite]).max()), float(np.abs(b[finite]).max())
