"""The made hive entrance as a source."""

from __future__ import annotations

import time

from edgekit.camera.config import SourceConfig
from edgekit.camera.source.grabber import Ended, Grabber
from edgekit.camera.source.uri import Source
from edgekit.data import HiveClip
from edgekit.vision.image import Frame


class MadeGrabber(Grabber):
    """A hive made in code (`edgekit.data.HiveClip`), at its own pace where it is live."""

    def __init__(self, source: Source, config: SourceConfig) -> None:
        keys = dict(source.query)
        self.fps = self._rate = float(keys.get("fps", 20))
        frames = int(keys["frames"]) if "frames" in keys else None
        height, width = int(keys.get("height", 360)), int(keys.get("width", 640))
        hornets = keys.get("hornets", "1") != "0"
        self.clip = HiveClip(int(keys.get("seed", 0)), self.fps, height, width, frames, hornets)
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
