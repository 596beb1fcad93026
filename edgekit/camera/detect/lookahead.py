"""Inference ahead: several frames of a file at once, before the loop comes to them; their order stays.

One run at a time on all cores leaves them waiting for each other at the end of every layer. With a file nothing is
lost by answers that come later, so each core gets a frame of its own: measured in benchmarks/results/video-*.json.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from edgekit.camera.config import CameraConfig
from edgekit.camera.detect.detectors import Detector
from edgekit.camera.source.uri import is_file
from edgekit.cores import usable_cpus
from edgekit.vision.image import Frame
from edgekit.vision.results import Detections

_MOST = 4  # frames at once where model.streams is 0: each takes memory
_LEAST = 2  # threads: one prepares the next frame while the model has the other's


def looks_ahead(config: CameraConfig) -> bool:
    """Whether every frame will be looked at, whatever is seen in those before. Raises UsageError as `parse_source`."""
    skips = config.motion.gate or config.model.crops or config.rate.fps or config.rate.night_below
    return is_file(config.source) and not skips


def streams_of(config: CameraConfig) -> int:
    """How many frames the model is given at once; of a live camera one, which then gets all cores."""
    return max(_streams(one) for one in config.each())


def _streams(config: CameraConfig) -> int:
    model = config.model
    on_cpu = model.provider == "cpu" and model.path.suffix in (".onnx", "")  # a shipped one has a name only
    if not (on_cpu and looks_ahead(config)):
        return 1
    return model.streams or min(_MOST, model.threads or usable_cpus())


@dataclass(frozen=True, eq=False)
class PendingLook:
    """A look that was begun: whose, and its answer with the seconds that it took, waiting for the model included."""

    detector: Detector
    answer: Future[tuple[Detections, float]]


class Lookahead:
    """Looks at frames in threads of its own.

    Args:
        turn: what a look waits for and gives back, where others look with the same model.
    """

    def __init__(self, turn: Callable[[], AbstractContextManager[None]] = nullcontext) -> None:
        self._turn = turn
        self._lock = threading.Lock()
        self._detector: Detector | None = None
        self._pool: ThreadPoolExecutor | None = None

    def watch(self, detector: Detector, config: CameraConfig) -> None:
        """From now on `detector` looks, where `config` lets it; all looks of the one before it have ended on return."""
        with self._lock:
            before = self._pool
            self._detector, self._pool = detector, None
            if looks_ahead(config):
                self._pool = ThreadPoolExecutor(max(_LEAST, streams_of(config)), "camera-look")
        if before is not None:
            before.shutdown()

    def begin(self, frame: Frame) -> PendingLook | None:
        """A look at uint8 [h, w, 3] BGR, or None where it has to wait for the loop."""
        with self._lock:
            if self._pool is None or self._detector is None:
                return None
            return PendingLook(self._detector, self._pool.submit(self._look, self._detector, frame))

    def close(self) -> None:
        """Ends when the looks that go on have; those that wait are not begun."""
        with self._lock:
            before, self._pool = self._pool, None
        if before is not None:
            before.shutdown(cancel_futures=True)

    def _look(self, detector: Detector, frame: Frame) -> tuple[Detections, float]:
        begun = time.monotonic()
        with self._turn():
            return detector.look(frame, None), time.monotonic() - begun
