"""The newest frame of a camera, which is opened again for as long as it takes."""

from __future__ import annotations

import threading
import time

from edgekit.camera.clock import FileClock
from edgekit.camera.config import SourceConfig
from edgekit.camera.problems import Problems, Say
from edgekit.camera.source.feed.backoff import Backoff, reachable
from edgekit.camera.source.feed.base import Feed, Opener, Shot, State
from edgekit.camera.source.feed.frozen import FrozenWatch
from edgekit.camera.source.grabber import Ended, Grabber
from edgekit.camera.source.open import open_grabber
from edgekit.camera.source.uri import Source
from edgekit.errors import EdgekitError, SourceError
from edgekit.vision.image import Frame

_SETTLED = 10.0  # seconds online until the back-off starts from the beginning again
_REMIND = 600.0  # seconds between two lines about the same outage


class LiveFeed(Feed):
    """Holds the newest frame only, and opens a lost source again until it is stopped; a file at its own pace too."""

    live = True

    def __init__(self, source: Source, config: SourceConfig, opener: Opener = open_grabber, say: Say = print) -> None:
        super().__init__(source, config, opener, say)
        self.watch = FrozenWatch(config.frozen_after)
        self._backoff = Backoff(config.retry_longest)
        self._outage = Problems(lambda line: self._say(line), _REMIND)
        self._slot: Shot | None = None
        self._filled = threading.Condition()
        self._open = self._ended = self._closed = False
        self._frame_at = time.monotonic()
        self._reopen_at = 0.0
        self._grabber: Grabber | None = None
        self._patience = config.read_timeout

    def next(self, timeout: float) -> Shot | None:
        until = time.monotonic() + timeout
        with self._filled:
            while True:
                while self._slot is None:
                    if self._ended:
                        raise Ended
                    left = until - time.monotonic()
                    if left <= 0 or self._stop.is_set():
                        return None
                    self._filled.wait(left)
                shot, self._slot = self._slot, None
                if time.monotonic() - shot.captured <= self.config.age_limit:
                    self.counters.processed += 1
                    return shot
                self.counters.dropped += 1

    def state(self) -> State:
        if self._ended:
            return "ended"
        if not self._open:
            return "offline" if self.counters.failed or self.counters.opened else "connecting"
        if time.monotonic() - self._frame_at > 1.25 * self._patience:
            return "stalled"
        if self.watch.frozen:
            return "frozen"
        return "dark" if self.watch.dark else "online"

    def stop(self) -> None:
        self._stop.set()
        if self._grabber is not None:
            self._grabber.wake()
        super().stop()
        with self._filled:
            if self._slot is not None:
                self._slot = None
                self.counters.dropped += 1
            self._filled.notify_all()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._session()
            except Ended:
                with self._filled:
                    self._ended = True
                    self._filled.notify_all()
                return
            except EdgekitError as error:
                self._lost(error)
            except Exception as error:  # noqa: BLE001 - cv2.error and what drivers raise: this thread must outlive them
                told = self.source.hide(f"{type(error).__name__}: {error}")
                self._lost(SourceError("The source failed.", got=told))
            self._wait()

    def _session(self) -> None:
        grabber = self._grabber = self._opener(self.source, self.config)
        try:
            began = self._frame_at = time.monotonic()
            self.counters.opened += 1
            self._patience = grabber.patience or self.config.read_timeout
            self._hear(grabber)
            if isinstance(self.clock, FileClock):
                self._begin(grabber, began)
            self._open = True
            shape: tuple[int, ...] = ()
            pace = 1 / grabber.fps if self.source.kind in ("video", "pictures") and grabber.fps else 0.0
            count = 0
            while not self._stop.is_set():
                frame = grabber.read()
                now = time.monotonic()
                self._hear(grabber)
                if frame is None:
                    self.counters.broken += 1
                    continue
                self._frame_at, frame = now, self._turn(frame)
                if frame.shape != shape:
                    shape = frame.shape
                    self._online(f"{shape[1]}x{shape[0]}")
                if now - began > _SETTLED:
                    self._backoff.reset()
                self.watch.see(frame, now)
                self._put(frame, now)
                if self.watch.frozen and now > self._reopen_at:
                    self._reopen_at = now + self.config.retry_longest
                    raise SourceError("The picture is frozen.", got=f"the same for {self.watch.same_for:.0f} s")
                count += 1
                if pace:
                    due = count * pace if grabber.at is None else grabber.at + pace
                    self._stop.wait(max(0.0, began + due - time.monotonic()))
        finally:
            self._open, self._grabber = False, None
            grabber.close()

    def _put(self, frame: Frame, now: float) -> None:
        with self._filled:
            if self._slot is not None:
                self.counters.dropped += 1
            self._slot = Shot(frame, self.counters.captured, now, now)
            self.counters.captured += 1
            self._filled.notify()

    def _online(self, size: str) -> None:
        lasted = self._outage.works("source")
        gone = f" after {lasted:.0f} s" if lasted is not None else ""
        self._say(f"camera online: {self.source.shown} {size}{gone}")
        self.detail = ""

    def _lost(self, error: EdgekitError) -> None:
        self.counters.failed += 1
        self.detail = error.what + (f" {error.got}" if error.got else "")
        self._outage.fails(
            "source",
            self.detail,
            f"camera offline: {self.source.shown}: {self.detail}; trying again for as long as it takes",
        )

    def _wait(self) -> None:
        """Waits out the back-off; less when the source's port or device, which did not answer before, does so now."""
        until = time.monotonic() + self._backoff.next()
        while not self._stop.wait(max(0.0, min(1.0, until - time.monotonic()))) and time.monotonic() < until:
            answers = reachable(self.source)
            # kept from one wait to the next: a camera may come back just after an attempt that ended one
            back, self._closed = answers and self._closed, not answers
            if back:
                self._backoff.reset()  # it may answer before it is able to; then soon again
                return
