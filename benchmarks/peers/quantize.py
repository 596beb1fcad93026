"""int8 and fp16 of a ResNet-18 beside the stock recipes of onnxruntime and NNCF: accuracy on the same pictures.

    edgekit export resnet18-imagenet.pth --data imagenet-250 --out OUT
    python benchmarks/peers/quantize.py OUT/resnet18-imagenet.onnx imagenet-250/labels.csv \
        --more hymenoptera/val --more coco128 --search hymenoptera/train --json RESULT.json

Everything is calibrated on 96 of the labelled pictures, spread evenly; top-1 and agreement with the float32 model are
of the others. `--more` pictures have other classes or none: only agreement is counted on them. The search runs in
each runtime, measures on the `--search` pictures and the 96, and nothing is reported on those.

`latency.py` beside this file measures times; the graphs are left in --keep for it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path

import numpy as np
import onnx

from edgekit.artifacts.onnx_file import graph_digest, read_onnx
from edgekit.backends import open_session
from edgekit.config.schemes import SCHEMES
from edgekit.data import Dataset, load_dataset, sample_evenly
from edgekit.metrics.classification import clopper_pearson
from edgekit.pipeline.embed_metadata import sealed
from edgekit.predictor import Predictor
from edgekit.quantize.calibrate import calibrate
from edgekit.quantize.fp16 import to_fp16
from edgekit.quantize.place import Quantized, quantize
from edgekit.quantize.plan import layers_of
from edgekit.quantize.rounding import rounder
from edgekit.quantize.search import Measured, search, search_key
from edgekit.quantize.timing import layer_costs
from edgekit.vision.preprocess import preprocess

CALIBRATION = 96
Pixels = np.ndarray


@dataclass
class Row:
    name: str
    runtime: str
    top1: float
    agreement: float
    agreement_interval: tuple[float, float]
    agreement_all: float
    agreement_all_interval: tuple[float, float]
    squared_error: float  # of the logits, over their variance
    seconds_to_make: float
    note: str = ""


class Bench:
    def __init__(self, reference: np.ndarray, held: Pixels, labels: np.ndarray, more: Pixels) -> None:
        self.pixels = np.concatenate([held, more])
        self.reference, self.held, self.labels = reference, len(held), labels
        self.rows: list[Row] = []

    def answers(self, model: bytes, backend: str = "onnxruntime", **options: object) -> np.ndarray:
        with open_session(model, backend, **options) as session:
            return np.concatenate([session.run({"image": picture[None]})["logits"] for picture in self.pixels])

    def row(self, name: str, runtime: str, answers: np.ndarray, seconds: float = 0.0, note: str = "") -> None:
        same = answers.argmax(1) == self.reference.argmax(1)
        spread = ((self.reference - self.reference.mean(1, keepdims=True)) ** 2).sum()
        n = self.held
        row = Row(
            name,
            runtime,
            float((answers[:n].argmax(1) == self.labels).mean()),
            float(same[:n].mean()),
            clopper_pearson(int(same[:n].sum()), n),
            float(same.mean()),
            clopper_pearson(int(same.sum()), len(same)),
            float(((answers - self.reference) ** 2).sum() / spread),
            round(seconds, 1),
            note,
        )
        self.rows.append(row)
        print(
            f"| {name} | {runtime} | {row.top1:.1%} | {row.agreement:.1%} | {row.agreement_all:.1%} "
            f"| {row.squared_error:.5f} | {seconds:.0f} | {note} |",
            flush=True,
        )


def stock_onnxruntime(model: Path, calibration: Pixels, out: Path, per_channel: bool, method: str) -> bytes:
    """`quantize_static` as its documentation has it: pre-process, U8S8, QDQ."""
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(calibration)

        def get_next(self) -> dict[str, np.ndarray] | None:
            picture = next(self.left, None)
            return None if picture is None else {"image": picture[None]}

    prepared = out / "prepared.onnx"
    quant_pre_process(str(model), str(prepared))
    target = out / f"ort-{per_channel}-{method}.onnx"
    quantize_static(
        str(prepared),
        str(target),
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=per_channel,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=getattr(CalibrationMethod, method),
    )
    return target.read_bytes()


def nncf_answers(model: Path, calibration: Pixels, bench: Bench, preset: str) -> np.ndarray:
    """`nncf.quantize` on OpenVINO's own reading of the same file, run in float32 beside the int8 layers."""
    import nncf
    import openvino

    quantized = nncf.quantize(
        openvino.Core().read_model(str(model)),
        nncf.Dataset([picture[None] for picture in calibration]),
        subset_size=len(calibration),
        preset=getattr(nncf.QuantizationPreset, preset),
    )
    compiled = openvino.Core().compile_model(quantized, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.concatenate([compiled({"image": picture[None]})["logits"] for picture in bench.pixels])


def pixels_of(dataset: Dataset, spec: object) -> Pixels:
    return np.stack([preprocess(sample.read(), spec) for sample in dataset])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--more", type=Path, action="append", default=[])
    parser.add_argument("--search", type=Path)
    parser.add_argument("--max-drop", type=float, action="append", help="budget of the search; may be given again")
    parser.add_argument("--keep", type=Path, help="folder for the graphs that are made")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    artifact = read_onnx(args.model)
    model, spec = artifact.model, artifact.metadata.model.preprocess
    labelled = load_dataset(args.data, None)
    calibration = sample_evenly(labelled, CALIBRATION)
    used = {sample.name for sample in calibration}
    held = [sample for sample in labelled if sample.name not in used]
    held_pixels = np.stack([preprocess(sample.read(), spec) for sample in held])
    more = [
        pixels_of(load_dataset(path, None, split="train" if "coco" in path.name else None), spec) for path in args.more
    ]
    calibration_pixels = pixels_of(calibration, spec)
    bench = Bench(
        np.empty(0), held_pixels, np.array([s.label for s in held]), np.concatenate(more or [held_pixels[:0]])
    )
    bench.reference = bench.answers(artifact.data)
    keep = args.keep or Path(tempfile.mkdtemp())
    keep.mkdir(parents=True, exist_ok=True)
    print(f"{len(held)} pictures held out, {len(bench.pixels)} with --more")
    print(
        "| what | runtime | top-1 | agreement | with --more | squared error | s | |\n|---|---|---|---|---|---|---|---|"
    )
    bench.row("fp32", "onnxruntime", bench.reference)
    bench.row("fp32", "openvino f32", bench.answers(artifact.data, "openvino"))

    start = time.perf_counter()
    seen = calibrate(model, calibration, spec)
    seconds = time.perf_counter() - start
    half = to_fp16(model, seen.tensors)
    (keep / "fp16.onnx").write_bytes(half.model.SerializeToString())
    bench.row("fp16", "onnxruntime", bench.answers(half.model.SerializeToString()), seconds, f"{half.nodes} nodes")
    start = time.perf_counter()
    rounds = rounder(model, calibration, spec)
    measuring = time.perf_counter() - start

    def made(label: str, build: Callable[[], onnx.ModelProto], seconds: float, *runtimes: str) -> None:
        start = time.perf_counter()
        data = build().SerializeToString()
        seconds += time.perf_counter() - start
        (keep / f"{label.replace(', ', '-').replace(' ', '-')}.onnx").write_bytes(data)
        for runtime in runtimes:
            bench.row(label, runtime, bench.answers(data, runtime), seconds)

    for scheme in SCHEMES:
        runtimes = ("onnxruntime", "openvino") if scheme == "int8-x86" else ("onnxruntime",)
        made(f"{scheme}, nearest", lambda s=scheme: quantize(model, seen, s).model, seconds, "onnxruntime")
        made(scheme, lambda s=scheme: quantize(model, seen, s, rounder=rounds).model, seconds + measuring, *runtimes)

    rankings = {}
    if args.search:
        others = pixels_of(load_dataset(args.search, None), spec)
        ours = Bench(np.empty(0), np.concatenate([calibration_pixels, others]), np.empty(0), others[:0])
        ours.reference = ours.answers(artifact.data)
        layers = layers_of(model)

        def build(floats: frozenset[str]) -> Quantized:
            return quantize(model, seen, "int8-x86", rounder=rounds, keep=floats)

        for runtime in ("onnxruntime", "openvino"):

            def measure(graph: onnx.ModelProto, runtime: str = runtime) -> Measured:
                answers = ours.answers(graph.SerializeToString(), runtime)
                different = answers.argmax(1) != ours.reference.argmax(1)
                return Measured(float(((answers - ours.reference) ** 2).mean()), float(different.mean() * 100))

            def opened(floats: frozenset[str], runtime: str = runtime) -> Predictor:
                described = replace(artifact.metadata, precision="int8-x86", verification={})
                return Predictor.from_artifact(
                    sealed(build(floats).model, described, args.model), backend=runtime, threads=2
                )

            def costs(opened: Callable[[frozenset[str]], Predictor] = opened) -> dict[str, float]:
                return layer_costs(opened, layers, held_pixels[0])

            for budget in args.max_drop or [1.0]:
                start = time.perf_counter()
                key = search_key(graph_digest(model), seen.key.data, "int8-x86", str(args.search), runtime)
                state = keep / f"search-{runtime}.json"
                found = search(build, layers, measure, budget, costs=costs, key=key, state=state)
                note = f"{', '.join(found.kept) or 'no layer'} in float, {found.float_share:.0%} of multiplications"
                note += (
                    f", drop {found.measured.drop:.2f} on {len(ours.pixels)} pictures, {found.measurements} measured"
                )
                data = found.quantized.model.SerializeToString()
                (keep / f"int8-x86-search-{budget:g}-{runtime}.onnx").write_bytes(data)
                spent = time.perf_counter() - start
                bench.row(
                    f"int8-x86, search {budget:g} in {runtime}", runtime, bench.answers(data, runtime), spent, note
                )
            rankings[runtime] = [asdict(ranked) for ranked in found.ranking]

    with tempfile.TemporaryDirectory() as folder:
        for per_channel, method in ((True, "MinMax"), (False, "MinMax"), (True, "Percentile")):
            start = time.perf_counter()
            data = stock_onnxruntime(args.model, calibration_pixels, Path(folder), per_channel, method)
            label = f"quantize_static, {'per channel' if per_channel else 'per tensor'}, {method}"
            (keep / f"stock-{'channel' if per_channel else 'tensor'}-{method}.onnx").write_bytes(data)
            bench.row(label, "onnxruntime", bench.answers(data), time.perf_counter() - start)
    for preset in ("MIXED", "PERFORMANCE"):
        start = time.perf_counter()
        answers = nncf_answers(args.model, calibration_pixels, bench, preset)
        bench.row(f"NNCF, {preset.lower()}", "openvino", answers, time.perf_counter() - start)

    if args.json:
        packages = ("onnxruntime", "openvino", "nncf", "onnx", "numpy", "edgekit")
        about = {
            "model": {"name": args.model.name, "sha256": artifact.sha256},
            "calibration": {"pictures": len(calibration), "sha256": calibration.digest},
            "held_out": len(held),
            "with_more": len(bench.pixels),
            "machine": {"processor": processor(), "cores": os.cpu_count(), "python": platform.python_version()},
            "versions": {name: metadata.version(name) for name in packages},
        }
        rows = [asdict(row) for row in bench.rows]
        args.json.write_text(json.dumps({**about, "rows": rows, "rankings": rankings}, indent=2) + "\n")


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    flags = next((line for line in lines if line.startswith("flags")), "").split()
    name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return f"{name}, {' '.join(f for f in ('avx512_vnni', 'avx512_bf16', 'amx_int8') if f in flags)}"


if __name__ == "__main__":
    main()
