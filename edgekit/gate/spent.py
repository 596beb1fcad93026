"""What each part of an export took: wall time, and the processor time of all its threads."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Part:
    """One part, named after its stage or after what is done there.

    Attributes:
        wall: seconds from beginning to end.
        process: seconds of processor time of all threads, which is more than `wall` where several computed.
    """

    name: str
    wall: float = 0.0
    process: float = 0.0


class Spent:
    """A clock that is read at the end of each part; parts of one name add up, in the order of their first end.

    Args:
        wall, process: give seconds.
    """

    def __init__(
        self, wall: Callable[[], float] = time.perf_counter, process: Callable[[], float] = time.process_time
    ) -> None:
        self._wall, self._process = wall, process
        self._last = (wall(), process())
        self.parts: dict[str, Part] = {}

    def mark(self, name: str) -> Part:
        """Ends a part: all since the last mark was it. Returns it."""
        now = (self._wall(), self._process())
        part = self.parts.setdefault(name, Part(name))
        part.wall += now[0] - self._last[0]
        part.process += now[1] - self._last[1]
        self._last = now
        return part

    def to_list(self) -> list[dict[str, object]]:
        """For JSON: seconds of each part."""
        return [{"part": p.name, "wall": round(p.wall, 3), "process": round(p.process, 3)} for p in self.parts.values()]

    @property
    def wall(self) -> float:
        """Seconds of all parts."""
        return sum(part.wall for part in self.parts.values())

    @property
    def process(self) -> float:
        """Seconds of processor time of all parts."""
        return sum(part.process for part in self.parts.values())

    def line(self) -> str:
        """For people: the sum, and the parts that took a twentieth of it or more, the longest first."""
        most = sorted(self.parts.values(), key=lambda part: -part.process)
        told = [f"{part.name} {part.process:.1f}" for part in most if part.process >= self.process / 20]
        return f"{self.process:.1f} s of processor time in {self.wall:.1f} s: {', '.join(told)}"
