"""From a 720p file to events: the camera's rate beside its bare session's, and what a frame costs outside the session.

    python benchmarks/video.py hornets.onnx hornets.int8-x86.onnx --threads 2 --json RESULT.json [--peer]

The file is made first: the hive clip in EDGEKIT_DATA enlarged to 1280x720, or a made hive. In each turn the session
runs alone on a ready picture, with all threads on one run and with a run in each, then the camera reads the whole file
as fast as it can; rates are of the loop from its first answer to its last. Processor time outside the session is the
process's a frame, less that of the session's own threads and of its callers while it runs (Linux). Decode, preprocess
and boxes are timed by themselves beside it, and the rest is hand-over, tracks, the writer and what sharing the caches
costs.
--peer adds Ultralytics' predict loop on YOLO11n, where it is installed: random weights, since none are here, which is
as quick; its ONNX runs in onnxruntime, beside the bare session of that file.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgekit import loading
from edgekit.benchmark.machine.environment import busy_seconds, conditions, environment
from edgekit.camera.config import CameraConfig, ModelConfig, SourceConfig, StoreConfig
from edgekit.camera.detect.detectors import make_detector
from edgekit.camera.detect.lookahead import streams_of
from edgekit.camera.rules import Model
from edgekit.camera.runtime import Camera
from edgekit.data import HiveClip
from edgekit.metrics.statistics import paired_ratio
from edgekit.predictor import Predictor
from edgekit.vision.decode import detections
from edgekit.vision.preprocess import geometry, normalise, preprocess

WIDTH, HEIGHT = 1280, 720
FLOOR = 0.3


@dataclass
class Meter:
    """Stamps of a session's runs: when each ended, and the processor time of the process then."""

    ends: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    inside: list[float] = field(default_factory=list)

    def rate(self) -> float:
        return (len(self.ends) - 1) / (self.ends[-1] - self.ends[0])

    def cpu_ms(self) -> float:
        return 1e3 * (self.cpu[-1] - self.cpu[0]) / (len(self.cpu) - 1)

    def inside_ms(self) -> float:
        return 1e3 * (self.inside[-1] - self.inside[0]) / (len(self.inside) - 1)

    def stamp(self, inside: float = 0.0) -> None:
        self.ends.append(time.perf_counter())
        self.cpu.append(time.process_time())
        self.inside.append(inside)


class Inside:
    """Processor time in a session: of its own threads, which start with it, and of the caller while it runs."""

    def __init__(self) -> None:
        self._before = self._threads()
        self._pool: set[str] = set()
        self._called = 0.0
        self._lock = threading.Lock()

    def opened(self) -> None:
        """Call when the session was opened after this was made, with no other thread started meanwhile."""
        self._pool = self._threads() - self._before

    def run(self, call: Callable[[], Any]) -> Any:
        start = time.thread_time()
        answer = call()
        with self._lock:
            self._called += time.thread_time() - start
        return answer

    def seconds(self) -> float:
        """All of it, until now."""
        spent = [int(Path(f"/proc/self/task/{t}/schedstat").read_text().split()[0]) for t in self._pool]
        return self._called + sum(spent) * 1e-9

    @staticmethod
    def _threads() -> set[str]:
        return {path.name for path in Path("/proc/self/task").iterdir()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+", help="exported detectors")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--frames", type=int, default=120, help="of the file")
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--video", type=Path, help="a file instead of the made one")
    parser.add_argument("--peer", action="store_true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    begin, busy, before, rows = time.perf_counter(), busy_seconds(), conditions(), []
    with tempfile.TemporaryDirectory() as folder:
        video = args.video or make_video(Path(folder) / "hive.mp4", args.frames)
        for model in args.models:
            rows.append(measured(model, video, args.threads, args.turns))
            told(rows[-1])
        if args.peer and find_spec("ultralytics") is None:
            print("ultralytics is not installed: its predict loop was not measured")
        elif args.peer:
            rows.append(peer(video, Path(folder), args.threads, args.turns))
            told(rows[-1])
    used = (busy_seconds() or 0.0) - (busy or 0.0)
    took = time.perf_counter() - begin
    print(f"{took:.0f} s, load {os.getloadavg()[0]:.1f}, {args.threads} threads, OpenCV {cv2.__version__}")
    if args.json:
        about = {"frames": args.frames, "turns": args.turns, "threads": args.threads,
                 "busy_cpu_seconds": round(used, 1),
                 "before": before, "after": conditions(), "environment": environment()}  # fmt: skip
        args.json.write_text(json.dumps({**about, "rows": rows}, indent=2) + "\n")
    return 0


def make_video(path: Path, frames: int) -> Path:
    """`frames` of 1280x720 as MPEG-4."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 30, (WIDTH, HEIGHT))
    source = Path(os.environ.get("EDGEKIT_DATA") or "nowhere") / "video" / "hive-entrance-640x360.mp4"
    clip = cv2.VideoCapture(str(source)) if source.is_file() else None
    made = None if clip is not None else HiveClip(0, 20, HEIGHT, WIDTH, frames)
    for i in range(frames):
        if clip is not None:
            good, frame = clip.read()
            if not good:
                raise SystemExit(f"{source} holds {i} frames only: --frames {i}")
            frame = cv2.resize(frame, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        else:
            assert made is not None
            frame = made.frame(i).frame
        writer.write(frame)
    writer.release()
    return path


def measured(path: Path, video: Path, threads: int, turns: int) -> dict[str, Any]:
    """One model: its session alone and the camera in turns; one more turn warms up."""
    with (
        loading.open_predictor(path, threads=threads) as predictor,
        loading.open_predictor(path, threads=threads, streams=threads) as several,
    ):
        frames = read_some(video)
        feed = ready(predictor, frames[0])
        alone, at_once, camera = [], [], []
        for turn in range(turns + 1):
            a = session_alone(lambda: predictor.session.run(feed), 40 if turn else 5)
            s = sessions_at_once(lambda: several.session.run(feed), 40 if turn else 5, threads)
            b = camera_run(path, video, threads)
            if turn:
                alone.append(a)
                at_once.append(s)
                camera.append(b)
        stages = stage_costs(predictor, frames, video)
    outside = float(np.median([c.cpu_ms() - c.inside_ms() for c in camera]))
    stages["hand-over, tracks, outbox"] = outside - sum(stages.values())
    ratio = paired_ratio([c.rate() for c in camera], [a.rate() for a in alone])
    return {
        "what": f"camera, {path.name}",
        "input": list(feed["image"].shape),
        "bare_per_second": float(np.median([a.rate() for a in alone])),
        "end_to_end_per_second": float(np.median([c.rate() for c in camera])),
        "efficiency": asdict(ratio),
        "bare_at_once_per_second": float(np.median(at_once)),
        "efficiency_at_once": asdict(paired_ratio([c.rate() for c in camera], at_once)),
        "session_cpu_ms": float(np.median([c.inside_ms() for c in camera])),
        "session_alone_cpu_ms": float(np.median([a.cpu_ms() for a in alone])),
        "outside_cpu_ms": outside,
        "outside_by_stage_ms": stages,
    }


def ready(predictor: Predictor, frame: np.ndarray) -> dict[str, np.ndarray]:
    spec = predictor.spec.preprocess
    pixels = preprocess(frame, spec)[None]
    return {"image": normalise(pixels, spec) if predictor.session.inputs[0].dtype == "float32" else pixels}


def session_alone(run: Callable[[], object], runs: int) -> Meter:
    meter = Meter()
    run()
    meter.stamp()
    for _ in range(runs):
        run()
        meter.stamp()
    return meter


def sessions_at_once(run: Callable[[], object], runs: int, streams: int) -> float:
    """Runs a second, in as many threads as the session has streams."""
    with ThreadPoolExecutor(streams) as pool:
        for _ in pool.map(lambda _: run(), range(streams)):
            pass
        begin = time.perf_counter()
        for _ in pool.map(lambda _: run(), range(runs)):
            pass
        return runs / (time.perf_counter() - begin)


def camera_run(path: Path, video: Path, threads: int) -> Meter:
    """`edgekit camera` on the whole file, with a store, without an annotated video."""
    meter, turn = Meter(), threading.Lock()

    def opened(config: CameraConfig) -> Model:
        inside = Inside()
        predictor = loading.open_predictor(path, threads=threads, streams=streams_of(config), frugal=True)
        inside.opened()
        run = predictor.session.run

        def stamped(feeds: Any) -> Any:
            answer = inside.run(lambda: run(feeds))
            with turn:
                meter.stamp(inside.seconds())
            return answer

        predictor.session.run = stamped  # type: ignore[method-assign]
        spec = predictor.spec
        info = {"name": predictor.name, "sha256": predictor.sha256, "precision": "?"}
        return Model(
            lambda c, floor: make_detector(predictor, c, floor), spec.classes, spec.thresholds, info, predictor.close
        )

    with tempfile.TemporaryDirectory() as store:
        config = CameraConfig(
            source=SourceConfig(uri=str(video)),
            model=ModelConfig(path=path, threads=threads),
            store=StoreConfig(folder=Path(store), reserve_mb=0),
        )
        summary = Camera(config, opened, say=lambda _: None).run()
    if summary.dropped or summary.inferred != summary.captured:
        raise SystemExit(f"the camera did not look at every frame: {summary}")
    return meter


def read_some(video: Path, count: int = 8) -> list[np.ndarray]:
    capture = cv2.VideoCapture(str(video))
    found = [capture.read()[1] for _ in range(count)]
    capture.release()
    return found


def stage_costs(predictor: Predictor, frames: list[np.ndarray], video: Path) -> dict[str, float]:
    """Processor milliseconds a frame, all threads, of each stage by itself."""
    spec = predictor.spec
    limits = spec.thresholds or (FLOOR,) * len(spec.classes)
    answers = [predictor.session.run(ready(predictor, frame)) for frame in frames]

    def boxes(i: int) -> None:
        frame, a = frames[i % len(frames)], answers[i % len(frames)]
        detections(a["boxes"][0], a["scores"][0], a["labels"][0], geometry(frame.shape, spec.preprocess), frame.shape,
                   spec.classes, limits)  # fmt: skip

    capture = cv2.VideoCapture(str(video))
    costs = {
        "decode": cpu_of(lambda i: capture.read(), 60),
        "preprocess": cpu_of(lambda i: ready(predictor, frames[i % len(frames)]), 60),
        "boxes": cpu_of(boxes, 100),
    }
    capture.release()
    return costs


def cpu_of(work: Callable[[int], object], count: int) -> float:
    work(0)
    start = time.process_time()
    for i in range(count):
        work(i)
    return 1e3 * (time.process_time() - start) / count


def peer(video: Path, folder: Path, threads: int, turns: int) -> dict[str, Any]:
    """Ultralytics' own loop on the same file, and the bare session of the ONNX that it exported."""
    os.environ.update(YOLO_AUTOINSTALL="false", YOLO_OFFLINE="true", YOLO_CONFIG_DIR=str(folder))
    import onnxruntime
    import torch
    from ultralytics import YOLO

    torch.set_num_threads(threads)
    here = Path.cwd()
    os.chdir(folder)  # it writes beside itself
    try:
        net = YOLO("yolo11n.yaml")
        net.save("yolo11n.pt")
        exported = YOLO("yolo11n.pt").export(format="onnx", imgsz=640, simplify=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(exported, options, providers=["CPUExecutionProvider"])
        name, image = session.get_inputs()[0].name, np.random.default_rng(0).random((1, 3, 640, 640), np.float32)
        alone, loop = [], []
        for turn in range(turns + 1):
            a = session_alone(lambda: session.run(None, {name: image}), 40 if turn else 5)
            b = Meter()
            for _ in YOLO(exported, task="detect").predict(
                str(video), stream=True, imgsz=640, device="cpu", verbose=False
            ):
                b.stamp()
            if turn:
                alone.append(a)
                loop.append(b)
    finally:
        os.chdir(here)
    return {
        "what": "Ultralytics predict, YOLO11n with random weights, onnxruntime",
        "input": [1, 3, 640, 640],
        "bare_per_second": float(np.median([a.rate() for a in alone])),
        "end_to_end_per_second": float(np.median([b.rate() for b in loop])),
        "efficiency": asdict(paired_ratio([b.rate() for b in loop], [a.rate() for a in alone])),
        "session_cpu_ms": float(np.median([a.cpu_ms() for a in alone])),
        "outside_cpu_ms": float(np.median([b.cpu_ms() - a.cpu_ms() for a, b in zip(alone, loop, strict=True)])),
    }


def told(row: dict[str, Any]) -> None:
    ratio = row["efficiency"]
    rates = f"{row['end_to_end_per_second']:.2f} frames a second, bare session {row['bare_per_second']:.2f}"
    print(
        f"{row['what']} {row['input']}: {rates}, ratio {ratio['value']:.3f} [{ratio['low']:.3f}, {ratio['high']:.3f}]"
    )
    if "efficiency_at_once" in row:
        ratio = row["efficiency_at_once"]
        print(f"  bare session with a run in each thread {row['bare_at_once_per_second']:.2f}, "
              f"ratio {ratio['value']:.3f} [{ratio['low']:.3f}, {ratio['high']:.3f}]")  # fmt: skip
    stages = ", ".join(f"{name} {ms:.2f}" for name, ms in row.get("outside_by_stage_ms", {}).items())
    print(f"  CPU ms a frame: session {row['session_cpu_ms']:.1f}, outside {row['outside_cpu_ms']:.2f}"
          + (f" ({stages})" if stages else ""), flush=True)  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
