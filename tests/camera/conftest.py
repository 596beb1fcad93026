"""Sources and detectors made for tests: a grabber from a list, an HTTP camera, a detector that knows the made hive."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from edgekit.camera.config import CameraConfig, SourceConfig, parse_config
from edgekit.camera.detect.detectors import Detector
from edgekit.camera.detect.motion import Motion
from edgekit.camera.event_writer import EventWriter
from edgekit.camera.events.counts import QuarterCounts
from edgekit.camera.rules import Model
from edgekit.camera.source.grabber import Ended, Grabber
from edgekit.camera.writing.recorder import Recorded
from edgekit.data import HIVE_CLASSES, HiveClip
from edgekit.vision.image import Frame
from edgekit.vision.results import Detections

pytest.importorskip("cv2")


HANGS = 60.0  # seconds; whatever is waited for comes sooner on the busiest machine, or never


def wait_for(true: Callable[[], bool], seconds: float = HANGS) -> float:
    """Seconds until `true`, which takes a free machine at most `seconds`; fails where it does not happen at all."""
    begun = time.monotonic()
    while not true():
        assert time.monotonic() - begun < max(seconds, HANGS), f"did not happen within {max(seconds, HANGS):g} s"
        time.sleep(0.01)
    return time.monotonic() - begun


def found(*rows: tuple[float, float, float, float, float, str], classes: tuple[str, ...] = HIVE_CLASSES) -> Detections:
    """Detections of (x1, y1, x2, y2, score, name)."""
    ordered = sorted(rows, key=lambda row: -row[4])
    return Detections(
        np.array([row[:4] for row in ordered], np.float32).reshape(-1, 4),
        np.array([row[4] for row in ordered], np.float32),
        np.array([classes.index(row[5]) for row in ordered], np.int64),
        tuple(row[5] for row in ordered),
    )


def at(x: float, y: float, score: float = 0.9, name: str = "hornet", size: float = 20) -> tuple[Any, ...]:
    """A row for `found`, by its centre."""
    return (x - size / 2, y - size / 2, x + size / 2, y + size / 2, score, name)


class ListGrabber(Grabber):
    """Frames, None for a broken one, exceptions to raise, numbers to sleep; then it is over."""

    def __init__(self, things: Iterable[Any], fps: float | None = None) -> None:
        self.fps = fps
        self._things = iter(things)
        self.closed = False

    def read(self) -> Frame | None:
        for thing in self._things:
            if isinstance(thing, (int, float)):
                time.sleep(thing)
            elif isinstance(thing, BaseException):
                raise thing
            else:
                return thing  # type: ignore[no-any-return]
        raise Ended

    def close(self) -> None:
        self.closed = True


def numbered(number: int, height: int = 48, width: int = 64) -> Frame:
    """A frame that says its number in every pixel's blue and green."""
    frame = np.zeros((height, width, 3), np.uint8)
    frame[..., 0], frame[..., 1] = number % 256, number // 256 % 256
    frame[..., 2] = 128
    return frame


class HiveDetector(Detector):
    """Finds what the made hive knows to be there: an ideal detector, as slow as wanted.

    It finds the frame's number by its pixels, so it takes frames in any order.
    """

    def __init__(self, clip: HiveClip, frames: int, seconds: float = 0) -> None:
        self._truth = {self._key(h.frame): h for h in (clip.frame(i) for i in range(frames))}
        self._seconds = seconds

    def look(self, frame: Frame, motion: Motion | None) -> Detections:
        time.sleep(self._seconds)
        truth = self._truth[self._key(frame)]
        scores = np.full(len(truth.labels), 0.9, np.float32)
        return Detections(truth.boxes, scores, truth.labels, tuple(HIVE_CLASSES[i] for i in truth.labels))

    def _key(self, frame: Frame) -> bytes:
        return frame[::37, ::41].tobytes()


class SleepyDetector(Detector):
    """Finds nothing, slowly."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def look(self, frame: Frame, motion: Motion | None) -> Detections:
        time.sleep(self._seconds)
        return found()


class SpotDetector(Detector):
    """Finds the one bright spot in a frame, as a hornet; nothing in a dark one."""

    def look(self, frame: Frame, motion: Motion | None) -> Detections:
        ys, xs = np.nonzero(frame[..., 2] > 200)
        if not len(ys):
            return found()
        return found((xs.min(), ys.min(), xs.max() + 1, ys.max() + 1, 0.9, "hornet"))


def spot(x: int, y: int, height: int = 120, width: int = 160) -> Frame:
    """A grey frame with a bright spot of 12 pixels, for `SpotDetector`."""
    frame = np.full((height, width, 3), 40, np.uint8)
    frame[y - 6 : y + 6, x - 6 : x + 6] = 255
    return frame


def model_of(detector: Detector, classes: tuple[str, ...] = HIVE_CLASSES) -> Callable[[CameraConfig], Model]:
    """What `Camera` opens."""
    info = {"name": "made.onnx", "sha256": "0" * 64, "precision": "fp32"}
    return lambda _: Model(lambda config, floor: detector, classes, (), info)


def writer_of(config: CameraConfig, say: Callable[[str], None], **options: Any) -> EventWriter:
    """The output of one live camera that only the test has."""
    recorded = Recorded(config, {}, QuarterCounts(), patient=options.pop("patient", False))
    return EventWriter(config, [recorded], say, fps=lambda: 10.0, **options)


def config_of(*changes: str) -> CameraConfig:
    return parse_config("", "a test", ["source.uri=synthetic://hive?seed=1", *changes])


class HttpCamera:
    """An MJPEG camera on loopback that can be killed and brought back on the same port.

    Args:
        pictures: gives the next JPEG's bytes, or None to end the stream.
        user: "name:password" that it asks for.
    """

    def __init__(self, pictures: Callable[[], bytes | None], fps: float = 20, user: str = "", length: bool = True):
        self.pictures, self.fps, self.user, self.length = pictures, fps, user, length
        self.requests = 0
        self.port = 0
        self._links: list[socket.socket] = []
        self.start()

    def start(self) -> None:
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                camera.requests += 1
                camera._links.append(self.connection)
                if camera.user and self.headers.get("Authorization") != camera.expected:
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="camera"')
                    self.end_headers()
                    return
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=mark")
                self.end_headers()
                try:
                    while (data := camera.pictures()) is not None:
                        length = f"Content-Length: {len(data)}\r\n" if camera.length else ""
                        head = f"--mark\r\nContent-Type: image/jpeg\r\n{length}\r\n"
                        self.wfile.write(head.encode() + data + b"\r\n")
                        time.sleep(1 / camera.fps)
                except OSError:
                    return

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def expected(self) -> str:
        import base64

        return "Basic " + base64.b64encode(self.user.encode()).decode()

    @property
    def uri(self) -> str:
        return f"http://{self.user + '@' if self.user else ''}127.0.0.1:{self.port}/stream"

    def kill(self) -> None:
        """As kill -9 does: every connection is cut, and nothing listens."""
        self._server.shutdown()
        self._server.server_close()
        for link in self._links:
            try:
                link.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        self._links.clear()


@pytest.fixture
def http_camera() -> Iterator[Callable[..., HttpCamera]]:
    """Makes HTTP cameras that end with the test."""
    made: list[HttpCamera] = []

    def make(*arguments: Any, **options: Any) -> HttpCamera:
        made.append(HttpCamera(*arguments, **options))
        return made[-1]

    yield make
    for camera in made:
        camera.kill()


@pytest.fixture
def black_hole() -> Iterator[int]:
    """A port that takes connections and never says anything."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(16)
        yield server.getsockname()[1]


def source_of(uri: str, **keys: Any) -> SourceConfig:
    return SourceConfig(uri=uri, **keys)
