"""Every frame of a file, as fast as they are taken."""

from __future__ import annotations

import queue
import time

from edgekit.camera.config import SourceConfig
from edgekit.camera.problems import Say
from edgekit.camera.source.feed.base import Feed, Opener, Shot, State
from edgekit.camera.source.grabber import Grabber
from edgekit.camera.source.open import open_grabber
from edgekit.camera.source.uri import Source

AHEAD = 2  # frames of a file that are decoded ahead, where nobody looks at more of them at once


class FileFeed(Feed):
    """Every frame, as fast as they are taken, `ahead` of them decoded before."""

    live = False

    def __init__(
        self,
        source: Source,
        config: SourceConfig,
        opener: Opener = open_grabber,
        say: Say = print,
        ahead: int = AHEAD,
    ) -> None:
        super().__init__(source, config, opener, say)
        self._queue: queue.Queue[Shot | BaseException] = queue.Queue(ahead)
        self._last: BaseException | None = None
        self._warned = False

    def next(self, timeout: float) -> Shot | None:
        if self._last is not None:
            raise self._last
        try:
            given = self._queue.get(timeout=timeout)
        except queue.Empty:
            return None
        if isinstance(given, BaseException):
            self._last = given
            raise given
        self.counters.processed += 1
        return given

    def state(self) -> State:
        if self._last is not None:
            return "ended"
        return "online" if self.counters.captured else "connecting"

    def stop(self) -> None:
        super().stop()
        while True:
            try:
                given = self._queue.get_nowait()
            except queue.Empty:
                return
            self.counters.dropped += isinstance(given, Shot)

    def _run(self) -> None:
        start = time.monotonic()
        try:
            grabber = self._opener(self.source, self.config)
            self.counters.opened += 1
            self.fps = grabber.fps or 25
            self._begin(grabber, start)
            try:
                index = 0
                while not self._stop.is_set():
                    self._hear(grabber)
                    frame = grabber.read()
                    if frame is None:
                        self.counters.broken += 1
                    else:
                        frame = self._turn(frame)
                        captured = time.monotonic()
                        at = start + (index / self.fps if grabber.at is None else grabber.at)
                        self._warn(grabber, at - start)
                        self._hand(Shot(frame, index, at, captured, self.prepare(frame)))
                    index += 1
            finally:
                self._hear(grabber)
                grabber.close()
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that takes the frames
            self._hand(error)

    def _warn(self, grabber: Grabber, after: float) -> None:
        """Once, where `source.start` puts a frame into the future."""
        if grabber.origin == "source.start" and not self._warned and (grabber.begins or 0) + after > time.time():
            self._warned = True
            self._say(
                f"source.start is too late: from {after:.1f} s on the file would be of the future; told as of now"
            )

    def _hand(self, thing: Shot | BaseException) -> None:
        if isinstance(thing, Shot):
            self.counters.captured += 1
        while True:
            try:
                return self._queue.put(thing, timeout=0.2)
            except queue.Full:
                if self._stop.is_set():
                    self.counters.dropped += isinstance(thing, Shot)
                    return None
