"""What the camera costs beside its model: CPU time a frame, memory, first event. `video.py` measures the rate.

    python benchmarks/camera.py MODEL.onnx VIDEO [--rounds 3] [--frames 300]

The CPU time is that of a run whose session answers at once with what it answered before; decoding is in it. Memory and
first event are those of a process of its own with the page on, without torch, that watches the video in real time and
takes every detection for an insect.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgekit.backends.base import Arrays, Session
from edgekit.camera.config import load_config
from edgekit.camera.detect.detectors import make_detector
from edgekit.camera.rules import Model
from edgekit.camera.runtime import Camera
from edgekit.camera.summary import Summary
from edgekit.loading import open_predictor
from edgekit.memory import few_arenas
from edgekit.predictor import Predictor
from edgekit.vision.preprocess import preprocess

_CHILD = "import sys; sys.modules['torch'] = None; from edgekit.cli.app import main; main()"
_WATCHED = 15  # seconds until the memory is read


class Replay(Session):
    """Answers at once, with what another session answered."""

    backend = "replay"

    def __init__(self, real: Session, answers: Arrays) -> None:
        self.inputs, self.outputs, self._answers = real.inputs, real.outputs, answers

    def _run(self, feeds: Arrays) -> Arrays:
        return {name: array.copy() for name, array in self._answers.items()}


def camera_run(predictor: Predictor, video: Path) -> tuple[Summary, float]:
    """A run over the whole video, and its CPU seconds in all threads."""
    model = Model(
        lambda config, floor: make_detector(predictor, config, floor),
        predictor.spec.classes, predictor.spec.thresholds,
        {"name": "benchmark", "sha256": "", "precision": ""},
    )  # fmt: skip
    camera = Camera(load_config(None, [f"source.uri={video}"]), lambda _: model, say=lambda _: None)
    cpu = time.process_time()
    summary = camera.run()
    return summary, time.process_time() - cpu


def shortened(video: Path, folder: Path, frames: int) -> tuple[Path, Any]:
    """The first `frames` frames at 1280x720, and the one in the middle. OpenCV's MPEG-4, so decoding is cheap."""
    capture, path, middle = cv2.VideoCapture(str(video)), folder / "video.mp4", None
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 30, (1280, 720))
    for i in range(frames):
        good, frame = capture.read()
        if not good:
            break
        frame = cv2.resize(frame, (1280, 720))
        middle = frame if middle is None or i <= frames // 2 else middle
        writer.write(frame)
    writer.release()
    return path, middle


def in_its_own_process(model: Path, video: Path) -> dict[str, float]:
    begun = time.monotonic()
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, "camera", "--source", str(video), "--model", str(model), "--json-lines", "--web",
         "--set", "web.port=0", "--set", "source.real_time=true", "--set", "visits.min_score=0.05",
         "--set", "visits.threshold=0.05"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert child.stdout is not None
    first = child.stdout.readline()
    seconds = time.monotonic() - begun
    time.sleep(max(0.0, min(_WATCHED, cv2.VideoCapture(str(video)).get(cv2.CAP_PROP_FRAME_COUNT) / 30 - 3) - seconds))
    lines = Path(f"/proc/{child.pid}/status").read_text().splitlines()
    memory = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines if line.startswith(("VmRSS", "VmHWM"))}
    child.terminate()
    child.communicate()
    return {
        "first_event_s": round(seconds, 2) if first else float("nan"),
        "resident_mb": round(memory["VmRSS"]),
        "peak_mb": round(memory["VmHWM"]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("video", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=300)
    options = parser.parse_args()
    few_arenas()
    with tempfile.TemporaryDirectory() as folder, open_predictor(options.model) as predictor:
        video, frame = shortened(options.video, Path(folder), options.frames)
        answers = predictor.session.run({"image": preprocess(frame, predictor.spec.preprocess)[None]})
        replayed = Predictor(Replay(predictor.session, answers), predictor.spec)
        costs = []
        for _ in range(options.rounds):
            summary, cpu = camera_run(replayed, video)
            costs.append(1e3 * cpu / summary.processed)
        found = {
            "cpu_ms_outside_session": round(float(np.median(costs)), 2),
            "of_all_rounds": [round(cost, 2) for cost in costs],
            **in_its_own_process(options.model, video),
        }
    print(json.dumps({"model": options.model.name, "input": predictor.spec.preprocess.describe(), **found}))


if __name__ == "__main__":
    main()
