"""One video file, frame by frame, with each frame's own time."""

from __future__ import annotations

import contextlib
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.camera.source.disk.media import container_of, is_fragmented, not_a_video
from edgekit.camera.source.disk.mpegts import seconds_of
from edgekit.camera.source.disk.stamps import LONGEST, Stamps
from edgekit.camera.source.grabber import Ended, Grabber
from edgekit.camera.source.opencv import quiet_cv2, refuse_size
from edgekit.errors import SourceError
from edgekit.screen import count_of
from edgekit.vision.image import Frame

_USUAL_FPS = 25.0
_MOST_MISSING = 100_000  # frames; a header may claim two billion
_TRIES = 50  # failed reads in a row until a file is over; a broken frame among good ones fails once
_SHORT = 0.05  # share of a video's length that may be missing at its end until it counts as cut off
_INDEXED = ("mp4", "avi")  # containers that say how many frames they hold


class VideoGrabber(Grabber):
    """OpenCV's FFmpeg reader on a file.

    Args:
        path: as it stands: no pattern of numbers, no protocol of FFmpeg.
        fps: overrides the file's rate and its frames' stamps; 0: the file's own.

    Attributes:
        seconds: how long the file says it is; more than it is where a transport stream's clock jumps.
        at: seconds since the first frame, by the frame's stamp (`CAP_PROP_POS_MSEC`).
        cut: how much is missing at the end, for people, once it ended.

    Raises:
        SourceError: no frame can be read, with the reason that the bytes tell.
    """

    def __init__(self, path: Path, fps: float = 0) -> None:
        self._cv2 = cv2 = quiet_cv2()
        self.path = path
        self._names = contextlib.ExitStack()
        try:
            self._container = container = container_of(path)
            pieces = container == "mp4" and is_fragmented(path)
            self._capture = cv2.VideoCapture(self._name(), cv2.CAP_FFMPEG)
            refuse_size(cv2, self._capture, str(path))
            first = self._capture.read() if self._capture.isOpened() else (False, None)
        except OSError as error:
            raise not_a_video(path) from error
        except SourceError:
            self._names.close()
            raise
        own = float(self._capture.get(cv2.CAP_PROP_FPS))
        self._own = own if np.isfinite(own) and 0.1 <= own <= 240 else _USUAL_FPS
        self.fps = fps or self._own
        frames = float(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.seconds = frames / self.fps if np.isfinite(frames) and frames > 0 else 0.0
        self._frames = int(frames) if container in _INDEXED and frames > 0 and not pieces else 0
        self._steady = container not in LONGEST and not pieces  # so that its length is to be believed
        self._stamps = Stamps(self.fps, container)
        self._stamped = not fps
        self._waiting: deque[tuple[Frame | None, float]] = deque()
        self._good = 0
        self.cut = ""
        if not self._take(*first) and not self._next_good(1):
            self.close()
            raise not_a_video(path)

    def length(self) -> float:
        """Seconds, without the jumps of a transport stream's clock; for that its stamps are looked through."""
        longest = LONGEST.get(self._container)
        if self._container != "ts" or longest is None or not self._stamped:
            return self.seconds
        found = seconds_of(self.path, self._own, longest)
        return self.seconds if found is None else found

    def read(self) -> Frame | None:
        if not self._waiting and not self._next_good(0):
            raise Ended
        frame, self.at = self._waiting.popleft()
        return frame

    def close(self) -> None:
        self._capture.release()
        self._names.close()

    def _name(self) -> str:
        """What FFmpeg takes for this path: absolute, as `12:30.mp4` would be a protocol's name."""
        absolute = str(self.path.absolute())
        if not absolute.isprintable() or any(0xD800 <= ord(c) <= 0xDFFF for c in absolute):
            # OpenCV crashes on bytes that are not UTF-8
            file = self._names.enter_context(self.path.open("rb"))
            return f"/dev/fd/{file.fileno()}"
        return absolute

    def _take(self, good: bool, frame: Any) -> bool:
        if not good or frame is None:
            return False
        position = float(self._capture.get(self._cv2.CAP_PROP_POS_MSEC)) / 1000 if self._stamped else 0.0
        self._waiting.append((np.asarray(frame), self._stamps.take(position)))
        self._good += 1
        return True

    def _next_good(self, failed: int) -> bool:
        """Reads on to a good frame; the broken ones before it wait with it. False at the end, where none counts as
        broken that nobody knows to have been there."""
        while not self._take(*self._capture.read()):
            failed += 1
            if failed > _TRIES:
                return self._ended()
        for _ in range(failed):
            self._waiting.appendleft((None, self._stamps.at))
        return True

    def _ended(self) -> bool:
        missing = self._frames - self._good
        held = self._stamps.at + self._stamps.step
        if self._good and self._frames and missing > max(3, _SHORT * self._frames) and not self.cut:
            self.cut = f"it ends after {self._good} of {count_of(self._frames, 'frame')}: it was cut off"
            self._waiting.extend([(None, self._stamps.at)] * min(missing, _MOST_MISSING))
        elif self._good and self._steady and held < (1 - _SHORT) * self.seconds - 0.5 and not self.cut:
            self.cut = f"it ends after {held:.1f} of {self.seconds:.1f} s: it was cut off"
        return bool(self._waiting)
