"""Time per layer as the runtime itself counts it, joined with what each layer costs on paper."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.artifact import Artifact
from edgekit.backends.openvino_ import openvino_core
from edgekit.bench.operations import Cost, costs
from edgekit.bench.schema import Layer, Layers, Peak
from edgekit.errors import BackendError

RUNS = 30
WARM = 5
# what an input or weight element takes, by the names in onnxruntime's trace
_WIDTHS = {"float": 4, "float16": 2, "uint8": 1, "int8": 1, "int32": 4, "int64": 8, "bool": 1, "double": 8}


def layers(
    artifact: Artifact, backend: str, threads: int = 0, batch: int = 1, peak: Peak | None = None, runs: int = RUNS
) -> Layers:
    """Median milliseconds of each node over `runs` runs, in the order executed.

    Raises:
        BackendError: a backend that gives no times per layer.
    """
    readers = {"onnxruntime": _onnxruntime, "openvino": _openvino}
    if backend not in readers:
        raise BackendError(
            f"{backend} gives no times per layer here.", got=backend, expected="one of " + ", ".join(readers)
        )
    table = {node.name: node for node in costs(artifact.model, batch).nodes}
    found = readers[backend](artifact, threads, batch, table, runs)
    total = sum(layer.ms for layer in found)
    macs = sum(layer.macs or 0 for layer in found)
    reached = macs / total / 1e6 if total > 0 else None
    precision = "int8" if any("int8" in p for p in (artifact.metadata.precision,)) else "fp32"
    roof = peak.gmacs.get(precision) if peak else None
    return Layers(
        source=f"{backend}'s own profiler, median of {runs} runs",
        layers=found,
        total_ms=total,
        gmacs_per_second=reached,
        share_of_peak=reached / roof if reached and roof else None,
        peak=precision,
    )


def _feed(artifact: Artifact, batch: int) -> dict[str, Any]:
    spec = artifact.metadata.model.preprocess
    rng = np.random.default_rng(0)
    if artifact.metadata.input == "uint8":
        return {"image": rng.integers(0, 256, (batch, spec.height, spec.width, 3), dtype=np.uint8)}
    return {"image": rng.standard_normal((batch, 3, spec.height, spec.width), dtype=np.float32)}


def _onnxruntime(artifact: Artifact, threads: int, batch: int, table: Mapping[str, Cost], runs: int) -> list[Layer]:
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendError("onnxruntime is not installed.", got=str(error), fix="pip install 'edgekit[cpu]'") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.enable_profiling = True
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    with tempfile.TemporaryDirectory(prefix="edgekit-profile-") as folder:
        options.profile_file_prefix = str(Path(folder) / "trace")
        session = onnxruntime.InferenceSession(artifact.data, options, providers=["CPUExecutionProvider"])
        feed = _feed(artifact, batch)
        for _ in range(WARM + runs):
            session.run(None, feed)
        events = json.loads(Path(session.end_profiling()).read_text())
    times: dict[str, list[float]] = {}
    about: dict[str, Mapping[str, Any]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            name = event["name"].removesuffix("_kernel_time")
            times.setdefault(name, []).append(event["dur"] / 1000)
            about[name] = event["args"]
    return [_layer(name, spent[WARM:] or spent, about[name], table) for name, spent in times.items()]


def _layer(name: str, spent: Sequence[float], args: Mapping[str, Any], table: Mapping[str, Cost]) -> Layer:
    """A fused node has the name of its convolution, perhaps with an ending of the fusion's own."""
    kind = str(args.get("op_name", "?"))
    inputs, outputs = _shapes(args.get("input_type_shape")), _shapes(args.get("output_type_shape"))
    cost = table.get(name) or next((c for n, c in table.items() if c.macs and name.startswith(n + "_")), None)
    macs = cost.macs if cost is not None and cost.macs else _macs(kind, inputs, outputs)
    moved = sum(math.prod(shape) * _WIDTHS.get(dtype, 4) for dtype, shape in (*inputs, *outputs))
    return Layer(name=name, kind=kind, ms=float(np.median(spent)), macs=macs or None, bytes=moved or None)


def _shapes(given: Any) -> list[tuple[str, list[int]]]:
    return [(dtype, list(shape)) for entry in given or [] for dtype, shape in entry.items()]


def _macs(kind: str, inputs: Sequence[tuple[str, list[int]]], outputs: Sequence[tuple[str, list[int]]]) -> int:
    """Of a node that the graph on disk does not have, from the shapes it ran with."""
    if not outputs or len(inputs) < 2:
        return 0
    out = math.prod(outputs[0][1])
    if "Conv" in kind and "Transpose" not in kind:
        weight = next((s for _, s in inputs[1:] if len(s) == 4), None)
        return out * math.prod(weight[1:]) if weight else 0
    if "MatMul" in kind or "Gemm" in kind:
        return out * inputs[0][1][-1] if inputs[0][1] else 0
    return 0


def _openvino(artifact: Artifact, threads: int, batch: int, table: Mapping[str, Cost], runs: int) -> list[Layer]:
    core = openvino_core()
    import openvino

    settings: dict[str, Any] = {"PERF_COUNT": True, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    if threads:
        settings["INFERENCE_NUM_THREADS"] = threads
    model = core.read_model(artifact.data)
    model.reshape({"image": [batch, *list(_feed(artifact, 1)["image"].shape[1:])]})
    request = core.compile_model(model, "CPU", settings).create_infer_request()
    feed = _feed(artifact, batch)
    times: dict[str, list[float]] = {}
    kinds: dict[str, str] = {}
    for i in range(WARM + runs):
        request.infer(feed)
        if i < WARM:
            continue
        for node in request.profiling_info:
            if node.status == openvino.ProfilingInfo.Status.EXECUTED:
                times.setdefault(node.node_name, []).append(node.real_time.total_seconds() * 1e3)
                kinds[node.node_name] = node.node_type
    found = []
    for name, spent in times.items():
        cost = table.get(name) or next((c for n, c in table.items() if c.macs and name.startswith(n + "/")), None)
        macs, moved = (cost.macs or None, cost.bytes) if cost else (None, None)
        shown = name.removesuffix("/WithoutBiases")
        found.append(Layer(name=shown, kind=kinds[name], ms=float(np.median(spent)), macs=macs, bytes=moved))
    return found
