"""Feeds hand frames from a source's thread to the one that looks at them: the newest of a camera, all of a file."""

from __future__ import annotations

import queue
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from edgekit.camera.clock import Clock, FileClock, iso
from edgekit.camera.config import SourceConfig
from edgekit.camera.problems import Problems, Say
from edgekit.camera.source.backoff import Backoff, reachable
from edgekit.camera.source.frozen import FrozenWatch
from edgekit.camera.source.grabber import Ended, Grabber
from edgekit.camera.source.open import open_grabber
from edgekit.camera.source.uri import Source, is_file, parse_source
from edgekit.errors import EdgekitError, SourceError
from edgekit.vision.image import Frame

State = Literal["connecting", "online", "dark", "stalled", "frozen", "offline", "ended"]
Opener = Callable[[Source, SourceConfig], Grabber]

_STOP = 2.5  # seconds that stopping waits for the thread; it is a daemon and blocks no exit after that
_SETTLED = 10.0  # seconds online until the back-off starts from the beginning again
_REMIND = 600.0  # seconds between two lines about the same outage
_AHEAD = 2  # frames of a file that are decoded ahead, where nobody looks at more of them at once


@dataclass(frozen=True, eq=False)
class Shot:
    """A frame and its times: `at` of the scene (a file's own time counts there), `captured` by the monotonic clock.

    `ready` is what the feed's `prepare` made of the frame.
    """

    frame: Frame = field(repr=False)
    index: int
    at: float
    captured: float
    ready: Any = field(default=None, repr=False)


@dataclass
class Counters:
    """captured = processed + dropped + the one that waits."""

    captured: int = 0
    processed: int = 0
    dropped: int = 0
    broken: int = 0
    opened: int = 0
    failed: int = 0
    unreadable: int = 0  # files that were left out


class Feed(ABC):
    """Frames in a thread of their own.

    Attributes:
        counters: read them at any time.
        clock: what the scene's time is by the wall clock.
        detail: why the source is not online, for people.
        fps: a file's own frames a second, once it is open; 0 for a camera.
        prepare: called with each frame of a file in the feed's thread, while those before are looked at. Not with a
            camera's, most of which are never looked at.
    """

    live: bool

    def __init__(self, source: Source, config: SourceConfig, opener: Opener = open_grabber, say: Say = print) -> None:
        self.source, self.config = source, config
        self.counters = Counters()
        self.clock = Clock()
        self.detail = ""
        self.fps = 0.0
        self.prepare: Callable[[Frame], Any] = lambda frame: None
        self._opener, self._say = opener, say
        self._stop = threading.Event()
        if not source.live and (config.start is not None or not config.real_time):
            self.clock = FileClock()
        self._thread = threading.Thread(target=self._run, name="camera-source", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread, within 3 s even where the source does not answer; what waits is dropped."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_STOP)

    @abstractmethod
    def next(self, timeout: float) -> Shot | None:
        """The next frame to look at, or None after `timeout` seconds without one.

        Raises:
            Ended: there will be none.
            EdgekitError: a file that cannot be opened.
        """

    @abstractmethod
    def state(self) -> State:
        """How the source is now, by the clock, whatever the thread is doing."""

    @abstractmethod
    def _run(self) -> None: ...

    def _hear(self, grabber: Grabber) -> None:
        """Says what the grabber has to say."""
        self.counters.unreadable = grabber.unreadable
        while grabber.notes:
            self._say(grabber.notes.popleft())

    def _begin(self, grabber: Grabber, zero: float) -> None:
        """A file's frames are of its own time from now on: its first one is the scene's `zero`."""
        begins = time.time() if grabber.begins is None else grabber.begins
        assert isinstance(self.clock, FileClock)
        self.clock.set(begins, zero)
        if grabber.origin in ("source.start", "file"):
            by = "source.start" if grabber.origin == "source.start" else "when the files were written"
            self._say(f"the first frame is of {iso(begins)}, by {by}")


class LiveFeed(Feed):
    """One slot, and the newest frame wins; opens again for ever. A file at its own pace is fed like this too."""

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
        if time.monotonic() - self._frame_at > 1.25 * self.config.read_timeout:
            return "stalled"
        if self.watch.frozen:
            return "frozen"
        return "dark" if self.watch.dark else "online"

    def stop(self) -> None:
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
        grabber = self._opener(self.source, self.config)
        try:
            began = self._frame_at = time.monotonic()
            self.counters.opened += 1
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
                self._frame_at = now
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
            self._open = False
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


class FileFeed(Feed):
    """Every frame, as fast as they are taken, `ahead` of them decoded before."""

    live = False

    def __init__(
        self,
        source: Source,
        config: SourceConfig,
        opener: Opener = open_grabber,
        say: Say = print,
        ahead: int = _AHEAD,
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


def make_feed(config: SourceConfig, opener: Opener = open_grabber, say: Say = print, ahead: int = _AHEAD) -> Feed:
    """The feed of what `config.uri` names, not started. Raises UsageError as `parse_source`."""
    source = parse_source(config)
    return FileFeed(source, config, opener, say, ahead) if is_file(config) else LiveFeed(source, config, opener, say)
