"""Time per layer as the runtime itself counts it, joined with what each layer costs on paper."""

from __future__ import annotations

import json
import math
import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.artifacts.onnx_file import Artifact
from edgekit.backends.openvino_ import openvino_core
from edgekit.benchmark.layers.operations import Cost, costs
from edgekit.benchmark.schema import LayerCost, Layers, Peak
from edgekit.errors import BackendError
from edgekit.screen import count_of

RUNS = 30
WARM = 5
# what an input or weight element takes, by the names in onnxruntime's trace
_WIDTHS = {"float": 4, "float16": 2, "uint8": 1, "int8": 1, "int32": 4, "int64": 8, "bool": 1, "double": 8}
_OPENVINO = {"f32": "float", "f16": "float16", "bf16": "float16", "u8": "uint8", "i8": "int8", "i32": "int32",
             "i64": "int64", "boolean": "bool", "f64": "double"}  # fmt: skip
# what multiplies and adds, and of it what does so in int8; a Reorder, Transpose or Quantize named after it does not
_COMPUTES = re.compile(r"Conv(?!ert)|Deconv|Gemm|MatMul|FullyConnected")
_INT8 = re.compile(r"^(QLinear|QGemm|MatMulInteger|ConvInteger|DynamicQuantize)")


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
        source=f"{backend}'s own profiler, median of {count_of(runs, 'run')}",
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


def _onnxruntime(artifact: Artifact, threads: int, batch: int, table: Mapping[str, Cost], runs: int) -> list[LayerCost]:
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
    graph = _Graph(table)
    return [_layer(name, spent[WARM:] or spent, about[name], graph) for name, spent in times.items()]


class _Graph:
    """The graph's own convolutions and products, each given to one executed layer: the one that computes it."""

    def __init__(self, table: Mapping[str, Cost]) -> None:
        self._left = {name: cost for name, cost in table.items() if cost.macs}

    def take(self, names: Iterable[str]) -> list[Cost]:
        """The nodes that are called so, or have an output that is: OpenVINO names what a graph gives by that."""
        by_output = {cost.output: name for name, cost in self._left.items()}
        found = dict.fromkeys(name if name in self._left else by_output.get(name, "") for name in names)
        return [self._left.pop(name) for name in found if name in self._left]

    def nearest(self, name: str) -> list[Cost]:
        """The node whose name, or output's, a layer's begins with: the longest, since a fusion appends an ending."""
        names = [(node, own) for node, cost in self._left.items() for own in (node, cost.output) if own]
        fit = [(node, own) for node, own in names if f"{name}_".startswith(f"{own}_")]
        return self.take([max(fit, key=lambda pair: len(pair[1]), default=("", ""))[0]])


def _layer(name: str, spent: Sequence[float], args: Mapping[str, Any], graph: _Graph) -> LayerCost:
    """A node as onnxruntime traced it. What it packed for itself beforehand, weights above all, is not in the trace."""
    kind = str(args.get("op_name", "?"))
    inputs, outputs = _shapes(args.get("input_type_shape")), _shapes(args.get("output_type_shape"))
    costs = graph.nearest(name) if _COMPUTES.search(kind) else []
    moved = _moved(inputs, outputs)
    width = 1 if _INT8.search(kind) else _WIDTHS.get(inputs[0][0], 4) if inputs else 4
    for cost in costs:
        if not any(_is_weights(shape, cost.weights) for _, shape in inputs[1:]):
            moved += math.prod(cost.weights) * width
    macs = sum(cost.macs for cost in costs) or (_macs(kind, inputs, outputs) if _COMPUTES.search(kind) else 0)
    node = costs[0].name if costs else None
    ms = float(np.median(spent))
    return LayerCost(name=name, kind=kind, ms=ms, macs=macs or None, bytes=moved or None, node=node)


def _is_weights(shape: Sequence[int], weights: Sequence[int]) -> bool:
    """Whether an input is a node's weights, perhaps turned or with more outputs, as blocks of 16 want them."""
    padded = len(shape) == len(weights) and math.prod(shape[1:]) == math.prod(weights[1:])
    return len(shape) > 1 and (padded or math.prod(shape) == math.prod(weights))


def _moved(inputs: Sequence[tuple[str, list[int]]], outputs: Sequence[tuple[str, list[int]]]) -> int:
    """Bytes of activations and weights. Scales, zero points, biases and shapes, which are vectors, are left out: a
    thousandth of it."""
    weighty = [*inputs[:1], *(t for t in inputs[1:] if len(t[1]) > 1), *outputs]
    return sum(math.prod(shape) * _WIDTHS.get(dtype, 4) for dtype, shape in weighty)


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


def _openvino(artifact: Artifact, threads: int, batch: int, table: Mapping[str, Cost], runs: int) -> list[LayerCost]:
    core = openvino_core()
    import openvino

    settings: dict[str, Any] = {"PERF_COUNT": True, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    if threads:
        settings["INFERENCE_NUM_THREADS"] = threads
    model = core.read_model(artifact.data)
    model.reshape({"image": [batch, *list(_feed(artifact, 1)["image"].shape[1:])]})
    compiled = core.compile_model(model, "CPU", settings)
    request = compiled.create_infer_request()
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
    graph = _Graph(table)
    executed = {node.get_friendly_name(): node for node in compiled.get_runtime_model().get_ordered_ops()}
    found = []
    for name, spent in times.items():
        macs, moved, node = _executed(executed.get(name), graph)
        shown, ms = name.removesuffix("/WithoutBiases"), float(np.median(spent))
        found.append(LayerCost(name=shown, kind=kinds[name], ms=ms, macs=macs, bytes=moved, node=node))
    return found


def _executed(node: Any, graph: _Graph) -> tuple[int | None, int | None, str | None]:
    """Multiply-adds, bytes and the file's node of a node of OpenVINO's compiled graph, which has the types and shapes
    that it ran with, and names the nodes it was made of."""
    if node is None:
        return None, None, None
    about = node.get_rt_info()
    kind, made_of = (_text(about[key]) if key in about else "" for key in ("layerType", "originalLayersNames"))
    names = [name.removesuffix("/WithoutBiases") for name in made_of.split(",")]
    costs = graph.take(names) if _COMPUTES.search(kind) else []
    inputs, outputs = ([_tensor(end) for end in ends] for ends in (node.inputs(), node.outputs()))
    moved = _moved([t for t in inputs if t], [t for t in outputs if t])
    return sum(cost.macs for cost in costs) or None, moved or None, costs[0].name if costs else None


def _text(value: Any) -> str:
    return str(value.astype(str) if hasattr(value, "astype") else value)  # OpenVINO's own Any


def _tensor(end: Any) -> tuple[str, list[int]] | None:
    """Type and shape of an input or output, None where they are not fixed; types by their names in `_WIDTHS`."""
    shape, kind = end.get_partial_shape(), end.get_element_type().get_type_name()
    known = _OPENVINO.get(kind)
    return (known, list(shape.to_shape())) if shape.is_static and known else None
