"""A delivery with a queue: it takes events out of the store in a thread of its own, in order, until each arrived.

A slow or dead receiver holds up neither the camera nor the other deliveries. What cannot be told now is tried again
after 1, 2, 4 ... s, 5 minutes at most. What is refused for good, or too old, is given up, counted and said.
"""

from __future__ import annotations

import contextlib
import threading
import time
from abc import abstractmethod
from pathlib import Path
from typing import Any

from edgekit.camera.deliver.base import Delivery, Event, Setup
from edgekit.camera.deliver.queued.rules import QueueKeys, Rules
from edgekit.camera.problems import Say, one_line
from edgekit.camera.source.feed.backoff import Backoff
from edgekit.camera.store.pending.outbox import Outbox
from edgekit.camera.store.pending.rows import Owed
from edgekit.errors import EdgekitError
from edgekit.screen import HIDDEN, masked, shown

_LONGEST = 300.0  # seconds between two tries
_LOOK = 1.0  # seconds between two looks whether something waits
_LAST = 3.0  # seconds that the end of a run gives to what waits
_TRIES = 12  # of an event that the receiver answers with an error each time; the others want to be told too
_TOLD = 300  # characters of a reason


class RefusedError(Exception):
    """Raised by `send`: the receiver will never take this event; trying again is of no use."""


class AnsweredError(Exception):
    """Raised by `send`: the receiver is there and did not take the event; it is tried again, but not for ever."""


class QueuedDelivery(Delivery):
    """A delivery whose events wait in the store.

    Subclasses say how one event is sent. All of `attend`, `send` and `hang_up` are called from one thread.

    Args:
        setup: what the camera is.
        keys: the rules.

    Attributes:
        secrets: words that are never repeated in a problem.
        delivered: events that arrived since the start.
    """

    secrets: tuple[str, ...] = ()

    def __init__(self, setup: Setup, keys: QueueKeys, say: Say | None = None) -> None:
        self._setup, self._keys = setup, keys
        self._say: Say = say or setup.say
        self._outbox: Outbox = setup.outbox
        self._rules = Rules(keys)
        self._backoff = Backoff(_LONGEST)
        self._changed = threading.Condition()
        self._not_before = self._counted = 0.0
        self._tries: tuple[int, int] = (0, 0)  # number of an event, and how often it was answered with an error
        self._given_up = 0
        self._reasons: set[str] = set()
        self._over: float | None = None  # when a run's end stops waiting
        self._busy_since: float | None = None
        self._thread: threading.Thread | None = None
        self.delivered: int = 0

    @abstractmethod
    def send(self, event: Event) -> None:
        """Tells of one event and returns once it arrived. Raises RefusedError, AnsweredError, or anything else."""

    def attend(self) -> None:
        """Called every second: keeps up what there is to keep up. Raises as `send`."""

    def hang_up(self) -> None:
        """The run is over, or a connection failed: ends what is open. Never waits long."""

    # of the output's thread

    def start(self) -> None:
        """Begins to send what waits, of an earlier run too."""
        self._count()
        self._begin()

    def wants(self, event: Event) -> bool:
        return self._rules.take(event)

    def deliver(self, event: Event) -> None:
        """The event is in the queue already."""
        with self._changed:
            self._changed.notify_all()

    def flush(self) -> None:
        if time.monotonic() - self._counted >= _LOOK:
            self._count()

    def end(self) -> None:
        """Gives what waits a few seconds; the rest is sent when the camera starts again, or lost without a store."""
        with self._changed:
            self._over = time.monotonic() + _LAST
            self._changed.notify_all()

    def close(self) -> None:
        if self._thread is not None and self._over is not None:
            self._thread.join(max(0.0, self._over - time.monotonic()) + 1)
        self._count()
        if not self._outbox.durable:
            self.lost += self.waiting
            self.waiting = 0

    # for who watches

    @property
    def stuck_for(self) -> float:
        """Seconds that the thread has been at one call."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    @property
    def longest(self) -> float:
        """Seconds that one call may take, by its own time-outs."""
        return 10 + 2 * float(getattr(self._keys, "timeout", 20))

    @property
    def ending(self) -> bool:
        """Whether it was not begun yet, or the run is over."""
        return self._thread is None or self._over is not None

    @property
    def alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def renew(self) -> None:
        """Gives the queue to a new thread; one that hangs does nothing more once it comes back."""
        self._begin()

    # of its own thread

    def _begin(self) -> None:
        self._busy_since = None
        self._thread = threading.Thread(target=self._run, name=f"camera-{self.name}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        me = threading.current_thread()
        while self._thread is me:
            over = self._over
            if over is not None and (time.monotonic() >= over or self.problem or self._outbox.first(self.name) is None):
                break
            wait = self._not_before - time.monotonic()
            if wait <= 0 and self._one(me):
                continue
            with self._changed:
                if self._thread is me and self._over is None:
                    self._changed.wait(min(_LOOK, wait) if wait > 0 else _LOOK)
        if self._thread is me:
            with contextlib.suppress(Exception):
                self.hang_up()

    def _one(self, me: threading.Thread) -> bool:
        """Sends the next event; whether there was one, and it is done with."""
        owed: Owed | None = None
        self._busy_since = time.monotonic()
        try:
            owed = self._outbox.first(self.name)
            if owed is not None and (why := self._over_age(owed)):
                self._give_up(owed.seq, why)
                return True
            self.attend()
            if owed is not None and owed.event is not None:
                self._send(owed.seq, owed.event, me)
        except Exception as error:  # noqa: BLE001 - whatever a library raises, the event waits and is tried again
            if self._thread is me:
                self._failed(error, owed)
            return False
        finally:
            if self._thread is me:
                self._busy_since = None
        if self._thread is me:
            self.problem, self._not_before = "", 0.0
            self._backoff.reset()
        return owed is not None

    def _over_age(self, owed: Owed) -> str:
        """Why it is of no use to wait for somebody who takes it, or nothing; whether anybody is there or not."""
        if owed.event is None:
            return "its row went to make room"
        hours = self._keys.keep_hours
        return f"nobody took it for {hours:g} hours" if owed.since.age > 3600 * hours else ""

    def _send(self, seq: int, event: Event, me: threading.Thread) -> None:
        try:
            self.send(event)
        except RefusedError as error:
            if self._thread is me:
                self._give_up(seq, f"it was refused: {self._told(error)}")
            return
        if self._thread is me:
            self._outbox.done(self.name, seq)
            self.delivered += 1

    def _failed(self, error: Exception, owed: Owed | None) -> None:
        with contextlib.suppress(Exception):
            self.hang_up()
        told = self._told(error)
        if isinstance(error, AnsweredError) and owed is not None:
            tries = self._tries[1] + 1 if self._tries[0] == owed.seq else 1
            self._tries = (owed.seq, tries)
            if tries >= _TRIES:
                self._give_up(owed.seq, f"it failed {tries} times: {told}")
        self.problem = f"{self.name}: {told}"
        self._not_before = time.monotonic() + self._backoff.next()

    def _give_up(self, seq: int, why: str) -> None:
        """Counted, and said once a reason."""
        self._outbox.done(self.name, seq)
        self._given_up += 1
        if why not in self._reasons and len(self._reasons) < 20:
            self._reasons.add(why)
            self._say(f"error: {self.name}: an event is given up: {why}")

    def _told(self, error: Exception) -> str:
        text = one_line(error) if isinstance(error, EdgekitError) else f"{error}" or type(error).__name__
        for secret in self.secrets:
            text = text.replace(secret, HIDDEN) if secret else text
        return shown(masked(text))[:_TOLD]

    def _count(self) -> None:
        self._counted = time.monotonic()
        waiting = self._outbox.waiting(self.name)
        self.lost = self._given_up + self._outbox.lost(self.name)
        self.waiting = self.waiting if waiting is None else waiting


def picture_of(setup: Setup, event: Event) -> bytes | None:
    """The JPEG that an event names, while it is still there: pictures go before events do."""
    folder, named = setup.config.store.folder, event.get("snapshot")
    if folder is None or not isinstance(named, dict):
        return None
    path = (folder / str(named.get("path", ""))).resolve()
    if not path.is_relative_to(Path(folder).resolve()):
        return None
    try:
        return path.read_bytes()
    except OSError:
        return None


def secrets_of(*values: Any) -> tuple[str, ...]:
    """Of values that may be None those that must not be repeated."""
    return tuple(str(value) for value in values if value)
