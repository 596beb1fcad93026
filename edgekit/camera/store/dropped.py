"""What a store gave up, counted by kind, and told with what does not work in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgekit.camera.problems import Problems


@dataclass
class Dropped:
    """What was given up since the start: never kept (`lost`), or removed to make room for newer ones."""

    events_lost: int = 0
    pictures_lost: int = 0
    clips_lost: int = 0
    pictures_removed: int = 0
    clips_removed: int = 0
    visits_removed: int = 0


class StoreProblems(Problems):
    """The parts of a store that cannot be kept now; once they can, what was given up meanwhile is said."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(say)
        self.dropped = Dropped()

    def works(self, part: str, line: str = "") -> float | None:
        lost = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in vars(self.dropped).items() if n)
        return super().works(part, line or f"{part} can be kept again" + (f"; so far {lost}" if lost else ""))
