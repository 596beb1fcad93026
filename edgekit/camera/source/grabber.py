"""Grabbers take frames out of one kind of source, one at a time. What goes wrong is said in three ways only."""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.camera.config import SourceConfig
from edgekit.camera.source.uri import Source
from edgekit.config.target import load_target
from edgekit.data import HiveClip
from edgekit.errors import BackendError, SourceError, UsageError
from edgekit.reading.limits import PIXELS
from edgekit.vision.image import Frame


class Ended(Exception):  # noqa: N818 - no error: the file is over
    """There are no more frames, and there will be none."""


class Grabber(ABC):
    """An opened source.

    Attributes:
        fps: frames a second of the source's own time, or None where only the clock tells.
        at: seconds of the frame that was read last since the first one, by its own stamp; None where only fps tells.
        begins: when the first frame was taken, in seconds since 1970, by what `origin` says; None where nothing does.
        notes: what is to be said to people; who says it takes it out.
        unreadable: files that were left out.
    """

    fps: float | None = None
    at: float | None = None
    begins: float | None = None
    origin: str = ""
    notes: deque[str] | None = None
    unreadable: int = 0

    @abstractmethod
    def read(self) -> Frame | None:
        """The next frame, uint8 [h, w, 3] BGR, new memory; None for one that is broken, after which others come.

        Raises:
            Ended: a file is over.
            SourceError: a live source is lost and must be opened again.
        """

    @abstractmethod
    def close(self) -> None:
        """Releases the source; may be called twice."""


def open_grabber(source: Source, config: SourceConfig) -> Grabber:
    """Opens `source`, or raises within `config.open_timeout`.

    Raises:
        SourceError: it is not there, refuses, or does not answer; worth trying again.
        BackendError: this OpenCV cannot.
    """
    if source.kind == "synthetic":
        return MadeGrabber(source, config)
    if source.kind in ("pictures", "video"):
        from edgekit.camera.source.files import FilesGrabber

        return FilesGrabber(source.place, config)
    if source.kind == "http":
        from edgekit.camera.source.mjpeg import open_mjpeg  # also finds out whether it is MJPEG

        grabber = open_mjpeg(source, config)
        if grabber is not None:
            return grabber
    return CaptureGrabber(source, config)


class MadeGrabber(Grabber):
    """A hive made in code (`edgekit.data.HiveClip`), at its own pace where it is live."""

    def __init__(self, source: Source, config: SourceConfig) -> None:
        keys = dict(source.query)
        self.fps = self._rate = float(keys.get("fps", 20))
        frames = int(keys["frames"]) if "frames" in keys else None
        height, width = int(keys.get("height", 360)), int(keys.get("width", 640))
        self.clip = HiveClip(int(keys.get("seed", 0)), self.fps, height, width, frames)
        self._live = source.live
        if not self._live:
            start, self.origin = config.start, "source.start" if config.start else "made"
            self.begins = start.timestamp() if start else time.time() - (frames or 0) / self._rate
        self._start: float | None = None
        self._next = 0

    def read(self) -> Frame:
        if self._live:
            now = time.monotonic()
            self._start = now if self._start is None else self._start
            time.sleep(max(0.0, self._start + self._next / self._rate - now))
            # a camera does not wait for those who are late
            self._next = max(self._next, int((time.monotonic() - self._start) * self._rate))
        if self.clip.length is not None and self._next >= self.clip.length:
            raise Ended
        frame = self.clip.frame(self._next).frame
        self._next += 1
        return frame

    def close(self) -> None:
        self._next = self.clip.length or self._next


class CaptureGrabber(Grabber):
    """OpenCV's VideoCapture: devices, RTSP, and GStreamer pipelines on boards."""

    def __init__(self, source: Source, config: SourceConfig) -> None:
        cv2 = quiet_cv2()
        self._timeout = config.read_timeout
        self._capture = self._open(cv2, source, config)
        if not self._capture.isOpened():
            self._capture.release()
            raise SourceError(
                "The source cannot be opened.",
                got=f"no answer, a refusal or an unknown format from {source.shown}",
                expected=f"frames within {config.open_timeout:g} s",
                fix="check address, user and password, and that nothing else has the camera open",
            )
        refuse_size(cv2, self._capture, source.shown)
        self._broken = 0
        self._good_at = time.monotonic()

    def _open(self, cv2: Any, source: Source, config: SourceConfig) -> Any:
        if config.target is not None and source.kind in ("rtsp", "csi"):
            return cv2.VideoCapture(pipeline(source, config), cv2.CAP_GSTREAMER)
        if source.kind == "csi":
            raise UsageError(
                "csi:// needs a board's pipeline.", expected="source.target", fix='target = "jetson-orin-nano"'
            )
        if source.kind == "device":
            place: int | str = int(source.place) if source.place.isdigit() else source.place
            path = Path(f"/dev/video{place}") if isinstance(place, int) else Path(source.place)
            if not path.exists():
                raise SourceError("The camera is not there.", got=f"no {path}", fix="plug it in, or name another one")
            capture = cv2.VideoCapture(place, cv2.CAP_V4L2)
            wanted = ((cv2.CAP_PROP_FRAME_WIDTH, config.width), (cv2.CAP_PROP_FRAME_HEIGHT, config.height))
            for key, value in (*wanted, (cv2.CAP_PROP_FPS, config.fps)):
                if value:
                    capture.set(key, value)
            return capture
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, round(config.open_timeout * 1000)]
        limits += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, round(config.read_timeout * 1000)]
        return cv2.VideoCapture(source.secret_url, cv2.CAP_FFMPEG, limits)

    def read(self) -> Frame | None:
        good, frame = self._capture.read()
        if good and frame is not None:
            self._broken, self._good_at = 0, time.monotonic()
            return np.asarray(frame)
        self._broken += 1
        # after a time-out read() fails at once for ever; one broken JPEG is a single failure
        if self._broken >= 10 or time.monotonic() - self._good_at > self._timeout:
            raise SourceError("The stream broke off.", got=f"{self._broken} failed reads", expected="frames")
        time.sleep(0.02)
        return None

    def close(self) -> None:
        self._capture.release()


def refuse_size(cv2: Any, capture: Any, shown: str) -> None:
    """Raises SourceError where a video says that its frames are larger than any picture may be (docs/limits.md)."""
    width, height = (float(capture.get(key)) for key in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    if width * height > PIXELS:
        capture.release()
        raise SourceError(
            "The frames of this video are too large.",
            got=f"{width:.0f} x {height:.0f} pixels from {shown}",
            expected=f"edgekit's limit of {PIXELS // 10**6} million pixels or less (docs/limits.md)",
            fix="convert it to a smaller size",
        )


def pipeline(source: Source, config: SourceConfig) -> str:
    """The GStreamer pipeline of the target for this source, with everything filled in. Holds the password.

    Raises:
        UsageError: the target has none for this kind of source.
        BackendError: OpenCV was built without GStreamer, as the wheels from PyPI are.
    """
    target = load_target(str(config.target))
    template = target.pipelines.rtsp if source.kind == "rtsp" else target.pipelines.csi
    if not template:
        raise UsageError(f"The target {target.name} has no pipeline for {source.kind}.", fix="leave out source.target")
    built = [line for line in quiet_cv2().getBuildInformation().splitlines() if "GStreamer:" in line]
    if not built or "YES" not in built[0]:
        raise BackendError(
            "This OpenCV has no GStreamer.",
            got="a build without it, as from PyPI",
            expected="the system's own cv2",
            fix="python3 -m venv --system-site-packages, and pip uninstall opencv-python-headless",
        )
    values = {
        "{uri}": source.secret_url,
        "{sensor}": source.place.removeprefix("csi://"),
        "{width}": str(config.width or 1280),
        "{height}": str(config.height or 720),
        "{fps}": f"{config.fps or 30:.0f}",
    }
    for name, value in values.items():
        template = template.replace(name, value)
    return template


def quiet_cv2() -> Any:
    """cv2 with its logs off, whatever the environment says, before FFmpeg or GStreamer can print an address with its
    password to stderr; RTSP over TCP."""
    os.environ["OPENCV_FFMPEG_LOGLEVEL"] = "-8"
    os.environ["OPENCV_LOG_LEVEL"] = "SILENT"
    for name in ("OPENCV_FFMPEG_DEBUG", "OPENCV_VIDEOIO_DEBUG", "GST_DEBUG"):
        os.environ.pop(name, None)
    os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "rtsp_transport;tcp")
    import cv2

    logging = getattr(cv2.utils, "logging", None)
    if logging is not None:
        logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    return cv2
