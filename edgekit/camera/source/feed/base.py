"""What hands frames from a source's thread to the one that looks at them."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from edgekit.camera.clock import Clock, FileClock, iso
from edgekit.camera.config import SourceConfig
from edgekit.camera.problems import Say
from edgekit.camera.source.grabber import Grabber
from edgekit.camera.source.open import open_grabber
from edgekit.camera.source.turn import turner
from edgekit.camera.source.uri import Source
from edgekit.vision.image import Frame

State = Literal["connecting", "online", "dark", "stalled", "frozen", "offline", "ended"]
Opener = Callable[[Source, SourceConfig], Grabber]

_STOP = 2.5  # seconds that stopping waits for the thread; it is a daemon and blocks no exit after that


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
    abandoned: int = 0  # threads that hung in the source and were left


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
        self._turn = turner(config)
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
