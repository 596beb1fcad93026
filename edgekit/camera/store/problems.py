"""What cannot be kept now, and what was given up: said once when it begins and when it is over, and counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Dropped:
    """What was given up since the start: never kept (`lost`), or removed to make room for newer ones."""

    events_lost: int = 0
    pictures_lost: int = 0
    clips_lost: int = 0
    pictures_removed: int = 0
    clips_removed: int = 0
    visits_removed: int = 0


class Problems:
    """The parts of a store that don't work, and why. Read from any thread, changed by one."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say, self.dropped = say, Dropped()
        self._problems: dict[str, str] = {}
        self._said: set[str] = set()

    def __contains__(self, part: str) -> bool:
        return part in self._problems

    @property
    def problem(self) -> str:
        """What cannot be kept now, or nothing."""
        return next(iter(list(self._problems.values())), "")

    def fails(self, part: str, text: str) -> None:
        """A part cannot be kept now."""
        if part not in self._problems:
            self.say(f"error: {text}")
        self._problems[part] = text

    def works(self, part: str) -> None:
        """A part can be kept, perhaps again."""
        if self._problems.pop(part, ""):
            lost = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in vars(self.dropped).items() if n)
            self.say(f"{part} can be kept again" + (f"; so far {lost}" if lost else ""))

    def once(self, text: str) -> None:
        """Says what would be said again and again."""
        if text not in self._said:
            self._said.add(text)
            self.say(text)
