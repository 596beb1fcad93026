"""Cameras and streams through OpenCV, and through GStreamer on boards."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.camera.config import SourceConfig
from edgekit.camera.source.grabber import Grabber
from edgekit.camera.source.kinds import NO_URL
from edgekit.camera.source.opencv import quiet_cv2, refuse_size
from edgekit.camera.source.uri import Source
from edgekit.config.target import load_target
from edgekit.errors import BackendError, SourceError, UsageError
from edgekit.vision.image import Frame


class CaptureGrabber(Grabber):
    """OpenCV's VideoCapture: devices, RTSP, and GStreamer pipelines on boards."""

    def __init__(self, source: Source, config: SourceConfig) -> None:
        cv2 = quiet_cv2()
        self._timeout = config.read_timeout
        self._capture = self._open(cv2, source, config)
        if not self._capture.isOpened():
            self._capture.release()
            fix = "check address, user and password, and that nothing else has the camera open"
            if source.kind == "srt":
                fix = "OpenCV's wheels have no SRT: ffmpeg -i srt://... -c copy -f mpegts udp://127.0.0.1:5000, and udp://"
            raise SourceError(
                "The source cannot be opened.",
                got=f"no answer, a refusal or an unknown format from {source.shown}",
                expected=f"frames within {config.open_timeout:g} s",
                fix=fix,
            )
        refuse_size(cv2, self._capture, source.shown)
        self._streamed = source.kind not in NO_URL or config.target is not None
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
            self.alone = intra_of(self._capture) if self._streamed else True
            return np.asarray(frame)
        self._broken += 1
        # after a time-out read() fails at once for ever; one broken JPEG is a single failure
        if self._broken >= 10 or time.monotonic() - self._good_at > self._timeout:
            raise SourceError("The stream broke off.", got=f"{self._broken} failed reads", expected="frames")
        time.sleep(0.02)
        return None

    def close(self) -> None:
        self._capture.release()


def intra_of(capture: Any) -> bool | None:
    """Whether the frame that `capture` read last is an I frame; None where this OpenCV or its backend does not say."""
    cv2 = quiet_cv2()
    kind = chr(int(capture.get(getattr(cv2, "CAP_PROP_FRAME_TYPE", -1))) % 128)
    return {"I": True, "P": False, "B": False}.get(kind)


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
