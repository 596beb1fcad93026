"""The annotated video: frames with their boxes, in a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.camera.deliver.base import DeliveryEnded, FrameDelivery, Setup
from edgekit.camera.problems import one_line
from edgekit.camera.source.opencv import quiet_cv2
from edgekit.errors import EdgekitError, OutputError, UsageError
from edgekit.vision.image import Frame

_LONGEST_GAP = 30.0  # seconds that are filled up with repeats
_CODECS = {".mp4": "mp4v", ".avi": "MJPG"}


class VideoFile(FrameDelivery):
    """An annotated video with a constant rate: a frame that comes late is preceded by repeats of the one before.

    It is written under a hidden name and appears when it is closed. A frame of another size is fitted into the first
    one's, with black borders. A gap of more than half a minute, as between two files, is left out.

    Raises:
        UsageError: an unknown suffix.
        OutputError: the place is not one for a file.
    """

    name = "video"

    def __init__(self, path: Path, fps: Callable[[], float]) -> None:
        if path.suffix.lower() not in _CODECS:
            raise UsageError(
                "A video cannot be written in this format.", got=repr(path.suffix), expected=", ".join(_CODECS)
            )
        if path.exists() and not path.is_file():
            raise OutputError(f"{path} is not a file.", expected="a name for a video")
        self.path, self.fps = path, 0.0
        self._rate = fps
        # not `atomic`: OpenCV opens the file itself, by its name
        self._temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
        self._writer: Any = None
        self._size = (0, 0)
        self._start = self._last_at = 0.0
        self._written = 0
        self._last: Frame | None = None

    @classmethod
    def wanted(cls, setup: Setup, keys: Any) -> VideoFile | None:
        path = setup.config.output.video
        return cls(path, setup.fps) if path else None

    def show(self, frame: Frame, at: float) -> None:
        """Adds a frame, uint8 [h, w, 3] BGR of scene time `at`, seconds. Raises DeliveryEnded where that cannot be."""
        if self._writer is None:
            try:
                self._open(frame, at)
            except EdgekitError as error:
                raise DeliveryEnded(f"the annotated video ends here: {one_line(error)}") from error
        fitted = self._fitted(frame)
        if self._last is not None and at - self._last_at > _LONGEST_GAP:
            self._start += at - self._last_at - 1 / self.fps
        self._last_at = at
        due = round((at - self._start) * self.fps)
        while self._written < due and self._last is not None:
            self._writer.write(self._last)
            self._written += 1
        self._last = fitted

    def close(self) -> None:
        """Finishes the file; nothing appears where no frame was written."""
        if self._writer is None:
            return
        if self._last is not None:
            self._writer.write(self._last)
        self._writer.release()
        self._writer = None
        try:
            self._temporary.replace(self.path)
        except OSError as error:
            raise OutputError(f"{self.path} could not be written.", got=str(error)) from error

    def _open(self, frame: Frame, at: float) -> None:
        cv2 = quiet_cv2()
        height, width = frame.shape[:2]
        self.fps = self._rate()  # a file's own is known once it was opened
        self._size, self._start = (width // 2 * 2, height // 2 * 2), at
        self.path.parent.mkdir(parents=True, exist_ok=True)
        code = cv2.VideoWriter.fourcc(*_CODECS[self.path.suffix.lower()])
        self._writer = cv2.VideoWriter(str(self._temporary), code, self.fps, self._size)
        if not self._writer.isOpened():
            raise OutputError(
                f"{self.path} cannot be written as a video.", got=f"{width}x{height} at {self.fps:g} fps",
                expected="a folder that may be written, and an OpenCV with this codec", fix="write it as .avi",
            )  # fmt: skip

    def _fitted(self, frame: Frame) -> Frame:
        width, height = self._size
        if frame.shape[:2] == (height, width):
            return frame
        if frame.shape[0] - height in (0, 1) and frame.shape[1] - width in (0, 1):
            return np.ascontiguousarray(frame[:height, :width])
        scale = min(width / frame.shape[1], height / frame.shape[0])
        w, h = max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale))
        canvas = np.zeros((height, width, 3), np.uint8)
        y, x = (height - h) // 2, (width - w) // 2
        canvas[y : y + h, x : x + w] = quiet_cv2().resize(frame, (w, h))
        return canvas
