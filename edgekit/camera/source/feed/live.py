"""The newest frame of a camera, which is opened again for as long as it takes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

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
_MOST_LEFT = 8  # threads that hang in the source
_REMIND = 600.0  # seconds between two lines about the same outage

T = TypeVar("T")


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
        self._called = (0.0, float("inf"))  # when the source was called last, and how many seconds that may take
        self._left: list[threading.Thread] = []  # hang in the source, or did
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

    @property
    def hangs_for(self) -> float:
        """Seconds that the source has been at one call, once that is longer than any may take; else 0."""
        since, longest = self._called
        lasted = time.monotonic() - since
        return lasted if lasted > longest else 0.0

    def renew(self) -> None:
        """Leaves a thread that hangs in the source to itself and opens the source in another one.

        A thread cannot be ended from outside. Once its call returns it closes what it had opened, and ends.

        Raises:
            SourceError: so many hang that more would be a leak.
        """
        self._left = [thread for thread in self._left if thread.is_alive()]
        if len(self._left) >= _MOST_LEFT:
            raise SourceError("The source hangs again and again.", got=f"{len(self._left)} threads that do not return")
        told = f"it did not answer for {time.monotonic() - self._called[0]:.0f} s"
        grabber, self._grabber, self._open = self._grabber, None, False
        self._left.append(self._thread)
        self.counters.abandoned += 1
        self._thread = threading.Thread(target=self._run, name="camera-source", daemon=True)
        self._called = (time.monotonic(), float("inf"))
        self._lost(SourceError("The source hangs.", got=told))
        if grabber is not None:
            grabber.wake()
        self._thread.start()

    @property
    def _mine(self) -> bool:
        """Whether the thread that asks is the one that works, and shall go on."""
        return self._thread is threading.current_thread() and not self._stop.is_set()

    def _run(self) -> None:
        if len(self._left) > 1:  # one after the other hung
            self._wait()
        while self._mine:
            try:
                self._session()
            except Ended:
                with self._filled:
                    self._ended = True
                    self._filled.notify_all()
                return
            except EdgekitError as error:
                if self._mine:
                    self._lost(error)
            except Exception as error:  # noqa: BLE001 - cv2.error and what drivers raise: this thread must outlive them
                told = self.source.hide(f"{type(error).__name__}: {error}")
                if self._mine:
                    self._lost(SourceError("The source failed.", got=told))
            if self._mine:
                self._wait()

    def _session(self) -> None:
        grabber = self._within(2 * self.config.open_timeout + 2, lambda: self._opener(self.source, self.config))
        try:
            if not self._mine:
                return
            self._grabber = grabber
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
            while self._mine:
                frame = self._within(2 * self._patience + 1, grabber.read)
                if not self._mine:
                    return
                now = time.monotonic()
                self._hear(grabber)
                if frame is None:
                    self.counters.broken += 1
                    if now - self._frame_at > 2 * self._patience + 1:
                        told = f"{self.counters.broken} broken ones"
                        raise SourceError("The stream holds no whole picture.", got=told)
                    continue
                self._frame_at, frame = now, self._turn(frame)
                if frame.shape != shape:
                    shape = frame.shape
                    self._online(f"{shape[1]}x{shape[0]}")
                if now - began > _SETTLED:
                    self._backoff.reset()
                self.watch.see(frame, now, grabber.alone)
                self._put(frame, now)
                if self.watch.frozen and now > self._reopen_at:
                    self._reopen_at = now + self.config.retry_longest
                    raise SourceError("The picture is frozen.", got=f"the same for {self.watch.same_for:.0f} s")
                count += 1
                if pace:
                    due = count * pace if grabber.at is None else grabber.at + pace
                    self._stop.wait(max(0.0, began + due - time.monotonic()))
        finally:
            if self._thread is threading.current_thread():
                self._open, self._grabber = False, None
            self._within(2 * self.config.open_timeout + 2, grabber.close)

    def _within(self, seconds: float, call: Callable[[], T]) -> T:
        """Calls the source; `hangs_for` tells where that takes longer than `seconds`."""
        if self._thread is threading.current_thread():
            self._called = (time.monotonic(), seconds)
        try:
            return call()
        finally:
            if self._thread is threading.current_thread():
                self._called = (time.monotonic(), float("inf"))

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
            if not self._mine:
                return
            answers = reachable(self.source)
            # kept from one wait to the next: a camera may come back just after an attempt that ended one
            back, self._closed = answers and self._closed, not answers
            if back:
                self._backoff.reset()  # it may answer before it is able to; then soon again
                return
