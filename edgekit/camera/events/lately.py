"""How many there are now, held for a minute: hornets come and go from frame to frame, and a word that flickers tells a
keeper nothing."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from edgekit.camera.clock import iso, wall
from edgekit.camera.events.levels import is_hornet, pressure

HELD = 60.0  # seconds that the most at once stays what is said of now
_STEP = 1.0  # seconds that are one entry


class Lately:
    """The most at once of each label in the last minute, and since when the level is what it is.

    Args:
        clock: monotonic seconds; another one in tests.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: deque[tuple[float, int, dict[str, int]]] = deque()  # since when, hornets, by label
        self._level = "none"
        self._since = self._looked = clock()
        self._began = False

    def see(self, counts: Mapping[str, int]) -> None:
        """How many of each label are seen now."""
        now, hornets = self._clock(), sum(n for label, n in counts.items() if is_hornet(label))
        with self._lock:
            if not self._began:  # from the first look on there is something to say
                self._began, self._since = True, now
            self._looked = now
            if self._seen and now - self._seen[-1][0] < _STEP:
                at, most, by_label = self._seen.pop()
                merged = {label: max(by_label.get(label, 0), n) for label, n in {**by_label, **counts}.items()}
                self._seen.append((at, max(most, hornets), merged))
            else:
                self._seen.append((now, hornets, dict(counts)))
            left = self._forget(now)
            level = pressure(max(hornets for _, hornets, _ in self._seen))
            if level != self._level:
                worse = hornets > 0 and level == pressure(hornets)
                self._level, self._since = level, now if worse or left is None else left

    def told(self) -> dict[str, Any] | None:
        """`hornets` and `counts` (by label), the most at once; `level`; `since` and `seen`, the last look, RFC 3339. It
        is of the last look, however long ago that was; None before the first."""
        with self._lock:
            if not self._seen:
                return None
            counts: dict[str, int] = {}
            for _, _, by_label in self._seen:
                for label, number in by_label.items():
                    counts[label] = max(counts.get(label, 0), number)
            return {
                "level": self._level,
                "hornets": max(hornets for _, hornets, _ in self._seen),
                "counts": counts,
                "since": iso(wall(self._since)),
                "seen": iso(wall(self._looked)),
            }

    def _forget(self, now: float) -> float | None:
        """Lets go what is more than a minute old; when the last of that with hornets was."""
        last = None
        while now - self._seen[0][0] > HELD:
            at, hornets, _ = self._seen.popleft()
            last = at if hornets else last
        return last
