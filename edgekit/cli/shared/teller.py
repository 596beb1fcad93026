"""Progress on stderr: what takes longer than two seconds says how far it is and how long it will still take.

On a terminal one line that overwrites itself; elsewhere a line after 2 s and one every 10 s. What cannot be counted, as
an exporter or a compiler, says how long it has been going on, and so does silence; in a log that is told after 10 s.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TextIO

from edgekit.progress import Work, listening
from edgekit.screen import bare, shown

FIRST, EVERY, REDRAWN = 2.0, 10.0, 0.2  # seconds
_TICK = 0.5


class Teller:
    """Listens to one command's work.

    Args:
        stream: gives where to write to.
        terminal: whether that is one.
        clock: seconds.
        silence: whether it is told that nothing was told for long.
    """

    def __init__(
        self,
        stream: Callable[[], TextIO] = lambda: sys.stderr,
        terminal: bool | None = None,
        clock: Callable[[], float] = time.monotonic,
        silence: bool = True,
    ) -> None:
        self._stream, self._clock, self._silence = stream, clock, silence
        self._terminal = _is_terminal(stream()) if terminal is None else terminal
        self._works: list[tuple[Work, float]] = []  # the outermost first, and when each began
        self._quiet_since, self._told_at = clock(), float("-inf")
        self._drawn = False
        self._lock = threading.RLock()  # a ticker tells too, of what is slow

    def begun(self, work: Work) -> None:
        with self._lock:
            if not self._works:
                self._quiet_since = self._clock()
            self._works.append((work, self._clock()))

    def moved(self) -> None:
        self.tell()

    def ended(self, work: Work) -> None:
        with self._lock:
            self._works = [entry for entry in self._works if entry[0] is not work]
            if not self._works:
                self.clear()

    def clear(self) -> None:
        """Takes the line away that overwrites itself, and begins to count anew how long nothing was told."""
        with self._lock:
            if self._drawn:
                bare(self._stream()).write("\r\x1b[K")
                self._drawn = False
            if not self._works:
                self._quiet_since = self._clock()

    def tell(self) -> None:
        """A line, where one is due."""
        with self._lock:
            now = self._clock()
            if not (self._works or self._silence):
                return
            patience = FIRST if self._works or self._terminal else EVERY  # a log needs no word on every import
            if now - self._quiet_since < patience or any(work.elsewhere for work, _ in self._works):
                return
            first = self._told_at <= self._quiet_since
            if not first and now - self._told_at < (REDRAWN if self._terminal else EVERY):
                return
            self._told_at = now
            line = self._line(now)
            # past the screen, which would clear this bar before each write
            bare(self._stream()).write("\r\x1b[K" + shown(line)[:150] if self._terminal else shown(line) + "\n")
            bare(self._stream()).flush()
            self._drawn = self._terminal

    def _line(self, now: float) -> str:
        if not self._works:
            return f"still at it, {_clock(now - self._quiet_since)} so far"
        parts = []
        for work, _ in self._works:
            count = f" {work.done} of {work.total}" if work.total else f" {work.done}" if work.done else ""
            parts.append(work.what + count + (f" ({work.detail})" if work.detail else ""))
        return ": ".join(parts) + ", " + self._left(now)

    def _left(self, now: float) -> str:
        """By the outermost work that knows its length."""
        for i, (work, began) in enumerate(self._works):
            if work.total:
                share = self._share(i)
                if share > 0:
                    return f"about {_clock((now - began) * (1 - share) / share)} left"
        return f"{_clock(now - self._works[0][1])} so far"

    def _share(self, i: int) -> float:
        """Of a work, what is done of it: with what is done inside of its next part."""
        work = self._works[i][0]
        if not work.total:
            return 0.0
        inner = self._share(i + 1) if i + 1 < len(self._works) else 0.0
        return min(1.0, (work.done + inner) / work.total)


@contextlib.contextmanager
def told(active: bool = True, silence: bool = True) -> Iterator[Callable[[], None]]:
    """Within it progress is told on stderr, also while one step takes long; gives what to call before other lines."""
    if not active:
        yield lambda: None
        return
    teller, over = Teller(silence=silence), threading.Event()

    def tick() -> None:
        while not over.wait(_TICK):
            teller.tell()

    ticker = threading.Thread(target=tick, name="progress", daemon=True)
    with listening(teller):
        ticker.start()
        try:
            yield teller.clear
        finally:
            over.set()
            ticker.join()
            teller.clear()


def _is_terminal(stream: TextIO) -> bool:
    return bool(getattr(stream, "isatty", lambda: False)())


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
