"""Several cameras look with one model in fair turns: whose last look is longest ago is next.

One that hangs in its look keeps the others waiting a few looks' time at most; then its turn is no longer waited for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SLOW = 5.0  # times as long as a look usually takes
_FIRST = 2.0  # seconds that are waited for a look until one was measured; two at once do no harm
_LEAST, _MOST = 0.3, 10.0  # seconds
_KEEP = 0.9  # of the mean, at each look


class Turns:
    """Who may look now.

    Args:
        at_once: so many looks go on at the same time; None: as many as are asked for.
        now: monotonic seconds; another one in tests.

    Attributes:
        abandoned: turns that took so long that the others went on without their end.
    """

    def __init__(self, at_once: int | None = 1, now: Callable[[], float] = time.monotonic) -> None:
        self.at_once, self._now = at_once, now
        self.abandoned = 0
        self._changed = threading.Condition()
        self._waiting: dict[str, int] = {}  # how many looks each camera waits for
        self._last: dict[str, int] = {}  # when each had its last turn, counted in turns
        self._running: dict[int, float] = {}  # turn: since when
        self._number = 0
        self._mean: float | None = None

    @contextmanager
    def turn(self, name: str) -> Iterator[None]:
        """Waits until camera `name` may look; its turn is over with the block."""
        number = self._wait(name)
        try:
            yield
        finally:
            self._end(number)

    @property
    def patience(self) -> float:
        """Seconds that a turn may take until the others go on."""
        return _FIRST if self._mean is None else min(_MOST, max(_LEAST, _SLOW * self._mean))

    def _wait(self, name: str) -> int:
        with self._changed:
            self._waiting[name] = self._waiting.get(name, 0) + 1
            while not (self._room() and self._next() == name):
                self._changed.wait(self._until_overdue())
            self._waiting[name] -= 1
            self._number += 1
            self._last[name] = self._number
            self._running[self._number] = self._now()
            self._changed.notify_all()
            return self._number

    def _end(self, number: int) -> None:
        with self._changed:
            since = self._running.pop(number, None)
            if since is not None:
                taken = self._now() - since
                self._mean = taken if self._mean is None else _KEEP * self._mean + (1 - _KEEP) * taken
            self._changed.notify_all()

    def _room(self) -> bool:
        if self.at_once is None:
            return True
        overdue = [number for number, since in self._running.items() if self._now() - since > self.patience]
        for number in overdue:
            del self._running[number]
            self.abandoned += 1
        return len(self._running) < self.at_once

    def _next(self) -> str:
        """The camera that waits and whose last turn is longest ago."""
        return min((name for name, looks in self._waiting.items() if looks), key=lambda name: self._last.get(name, 0))

    def _until_overdue(self) -> float | None:
        """Seconds until the oldest turn is no longer waited for; None where no turn goes on."""
        if not self._running:
            return None
        return max(0.01, min(self._running.values()) + self.patience - self._now())
