"""Is `edgekit bench` telling the truth? Its session p50 beside a bare loop and OpenVINO's own benchmark_app, in turns.

    python benchmarks/truth.py resnet18.onnx resnet18.int8-x86.onnx --threads 2 --json RESULT.json
    python benchmarks/truth.py resnet18.onnx --disturb      # a process spins on every core: is it called unstable?

The bare loop is what anybody would write in ten lines with the runtime itself; no edgekit session is in it, and the
pictures lie ready, as they do for edgekit's own. benchmark_app runs in a process of its own in every second turn, on
one synchronous request. A ratio is edgekit's p50 over the other's, turn by turn.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from edgekit.artifacts.onnx_file import Artifact, read_onnx
from edgekit.benchmark.machine.environment import busy_seconds, conditions, environment
from edgekit.benchmark.measure import MeasurementPlan, measure
from edgekit.benchmark.subject import Subject
from edgekit.benchmark.timing import timing
from edgekit.data import Sample, made_pictures
from edgekit.metrics.statistics import Interval, paired_ratio
from edgekit.predictor import Predictor
from edgekit.vision.preprocess import normalise, preprocess

BACKENDS = ("onnxruntime", "openvino")
ALLOWED = 0.05


@dataclass(frozen=True)
class Truth:
    """One file on one runtime; milliseconds, and edgekit's over the others'."""

    file: str
    backend: str
    edgekit_ms: float
    bare_ms: float
    to_bare: Interval
    app_ms: float | None = None
    to_app: Interval | None = None

    @property
    def holds(self) -> bool:
        found = [self.to_bare, *([self.to_app] if self.to_app else [])]
        return all(abs(r.value - 1) <= ALLOWED for r in found)

    def __str__(self) -> str:
        words = [f"{self.file:<28} {self.backend:<12} edgekit {self.edgekit_ms:7.2f} ms"]
        words.append(f"bare {self.bare_ms:7.2f} ms, ratio {_told(self.to_bare)}")
        if self.to_app is not None:
            words.append(f"benchmark_app {self.app_ms:7.2f} ms, ratio {_told(self.to_app)}")
        return "  ".join([*words, "ok" if self.holds else "APART"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--backend", action="append", choices=BACKENDS, help="repeatable; default: both")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each way in each turn")
    parser.add_argument("--disturb", action="store_true", help="with a process that spins on every core")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    cases = [(m, b) for m in args.models for b in args.backend or BACKENDS]
    if args.disturb:
        return disturbed(cases, args.threads, args.seconds * args.turns)
    if find_app() is None:
        print("benchmark_app is not installed (it comes with openvino): OpenVINO is compared with the bare loop only")
    begin, busy, before = time.perf_counter(), busy_seconds(), conditions()
    found = []
    for model, backend in cases:
        found.append(compare(model, backend, args.threads, args.turns, args.seconds))
        print(found[-1], flush=True)
    took = time.perf_counter() - begin
    print(f"{took:.0f} s; load {before['load_1min']} before, {os.getloadavg()[0]:.1f} after; {args.threads} threads")
    if args.json:
        about = {
            "took_seconds": round(took, 1),
            "threads": args.threads,
            "turns": args.turns,
            "seconds_a_turn": args.seconds,
            "busy_cpu_seconds": None if busy is None else round((busy_seconds() or 0.0) - busy, 1),
            "before": before,
            "after": conditions(),
            "environment": environment(),
        }
        rows = [{**asdict(t), "holds": t.holds} for t in found]
        args.json.write_text(json.dumps({**about, "rows": rows}, indent=2) + "\n")
    return 0 if all(t.holds for t in found) else 1


def compare(model: Path, backend: str, threads: int, turns: int, seconds: float) -> Truth:
    """One case; one more turn warms up."""
    artifact = read_onnx(model)
    spec = artifact.metadata.model.preprocess
    frames = [s.read() for s in made_pictures(8)]
    feeds = [preprocess(frame, spec)[None] for frame in frames]
    if artifact.metadata.input == "float":
        feeds = [normalise(feed, spec) for feed in feeds]
    bare = {"onnxruntime": bare_onnxruntime, "openvino": bare_openvino}[backend](artifact.data, threads)
    ours, theirs, apps, with_app = [], [], [], []
    with Predictor.from_artifact(artifact, backend, threads=threads) as predictor:
        subject = Subject(predictor, [Sample(None, frame, None) for frame in frames])
        for turn in range(turns + 1):
            a, b = loop(bare, feeds, seconds), edgekit_loop(subject, seconds)
            if not turn:
                continue
            theirs.append(a)
            ours.append(b)
            if backend == "openvino" and turn % 2 == 0 and (c := app(artifact, threads, seconds)) is not None:
                apps.append(c)
                with_app.append(float(np.mean([b, edgekit_loop(subject, seconds)])))  # before it and after it
    truth = Truth(model.name, backend, float(np.median(ours)), float(np.median(theirs)), paired_ratio(ours, theirs))
    if len(apps) < 2:
        return truth
    return Truth(**{**truth.__dict__, "app_ms": float(np.median(apps)), "to_app": paired_ratio(with_app, apps)})


def loop(run: Callable[[np.ndarray], object], feeds: list[np.ndarray], seconds: float) -> float:
    """p50 in milliseconds."""
    times = []
    run(feeds[0])
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(times) < 3:
        start = time.perf_counter()
        run(feeds[len(times) % len(feeds)])
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1e3


def edgekit_loop(subject: Subject, seconds: float) -> float:
    """p50 of the session, in milliseconds, as `edgekit bench` measures it."""
    return float(np.median(subject.alone(seconds)))


def bare_onnxruntime(model: bytes, threads: int) -> Callable[[np.ndarray], object]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # as edgekit runs it
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda feed: session.run(None, {"image": feed})


def bare_openvino(model: bytes, threads: int) -> Callable[[np.ndarray], object]:
    import openvino

    core = openvino.Core()
    settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
    request = core.compile_model(core.read_model(model), "CPU", settings).create_infer_request()
    return lambda feed: request.infer({"image": feed})


def find_app() -> list[str] | None:
    """How to start OpenVINO's benchmark_app with this interpreter."""
    from importlib.util import find_spec

    try:
        known = find_spec("openvino.tools.benchmark.main")
    except ModuleNotFoundError:
        return None
    return [sys.executable, "-c", "from openvino.tools.benchmark.main import main; main()"] if known else None


def app(artifact: Artifact, threads: int, seconds: float) -> float | None:
    """p50 in milliseconds of benchmark_app, on one picture and one synchronous request; None where it is not there."""
    command = find_app()
    if command is None:
        return None
    spec = artifact.metadata.model.preprocess
    shape = (
        f"1,{spec.height},{spec.width},3" if artifact.metadata.input == "uint8" else f"1,3,{spec.height},{spec.width}"
    )
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.onnx"
        model.write_bytes(artifact.data)
        words = ["-m", str(model), "-d", "CPU", "-api", "sync", "-hint", "none", "-nstreams", "1"]
        words += [
            "-nthreads",
            str(threads),
            "-infer_precision",
            "f32",
            "-shape",
            f"image[{shape}]",
            "-t",
            f"{max(1, round(seconds))}",
        ]
        words += ["-report_type", "no_counters", "-json_stats", "-report_folder", folder]
        done = subprocess.run([*command, *words], capture_output=True, text=True, timeout=120)
        report = Path(folder) / "benchmark_report.json"
        if done.returncode or not report.exists():
            raise RuntimeError(f"benchmark_app failed:\n{done.stdout[-1500:]}{done.stderr[-1500:]}")
        return float(json.loads(report.read_text())["execution_results"]["latency (ms)"])  # the median, unless asked


def disturbed(cases: list[tuple[Path, str]], threads: int, seconds: float) -> int:
    """Measures each case beside spinning processes; 1 where one of them is called stable all the same."""
    frames = [Sample(None, s.read(), None) for s in made_pictures(8)]
    wrong = 0
    for model, backend in cases:
        with Predictor.from_artifact(read_onnx(model), backend, threads=threads) as predictor, spinning():
            runs = measure({"case": [Subject(predictor, frames)]}, MeasurementPlan(seconds, turns=5, warmup=3.0))
        found = timing(runs["case"])
        wrong += found.stability.stable
        print(f"{model.name} {backend}: {'STABLE' if found.stability.stable else 'unstable'}, "
              f"p50 {found.stages['inference'].p50:.2f} ms")  # fmt: skip
        for finding in found.stability.findings:
            print(f"  {finding}")
    return 1 if wrong else 0


@contextlib.contextmanager
def spinning() -> Iterator[None]:
    """A process that does nothing as fast as it can, for each CPU that this one may use."""
    started = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in os.sched_getaffinity(0)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def _told(ratio: Interval) -> str:
    return f"{ratio.value:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]"


if __name__ == "__main__":
    sys.exit(main())
