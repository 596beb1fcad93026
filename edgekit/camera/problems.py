"""What does not work now: said when it begins, again after a while where that is wanted, and when it is over."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from edgekit.errors import EdgekitError

Say = Callable[[str], None]


@dataclass
class _Since:
    text: str
    began: float
    said: float


class Problems:
    """The parts that fail, and why. Read from any thread, changed by one.

    Args:
        say: takes lines for people.
        remind: seconds until a problem that goes on is said again.
    """

    def __init__(self, say: Say, remind: float = float("inf")) -> None:
        self.say, self._remind = say, remind
        self._problems: dict[str, _Since] = {}
        self._said: set[str] = set()

    def __contains__(self, part: str) -> bool:
        return part in self._problems

    @property
    def problem(self) -> str:
        """The one that began first, or nothing."""
        return next((problem.text for problem in list(self._problems.values())), "")

    def fails(self, part: str, text: str, line: str = "") -> None:
        """A part does not work now, because of `text`; `line` is what people are told, by default the same."""
        now, known = time.monotonic(), self._problems.get(part)
        if known is None or now - known.said > self._remind:
            self.say(line or f"error: {text}")
            self._problems[part] = _Since(text, now if known is None else known.began, now)
        else:
            known.text = text

    def works(self, part: str, line: str = "") -> float | None:
        """A part works, perhaps again: says so, and the seconds that it did not work; None where it did."""
        known = self._problems.pop(part, None)
        if known is None:
            return None
        if line:
            self.say(line)
        return time.monotonic() - known.began

    def note(self, part: str, text: str) -> None:
        """`fails` where there is a text, else `works`."""
        if text:
            self.fails(part, text)
        else:
            self.works(part, f"{part}: all is well again")

    def attempt(self, part: str, work: Callable[[], object]) -> None:
        """Does a part's work. What it raises is noted, and costs the other parts nothing."""
        self.note(part, caught(part, work))

    def once(self, text: str) -> None:
        """Says what would be said again and again."""
        if text not in self._said:
            self._said.add(text)
            self.say(text)


def caught(part: str, work: Callable[[], object], but: type[Exception] | tuple[()] = ()) -> str:
    """Does a part's work; what it raised, as one line, or nothing. Only a `but` is raised on."""
    try:
        work()
    except but:
        raise
    except EdgekitError as error:
        return one_line(error)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - frames go on whatever a disk, codec or listener does
        return f"{part} failed: {type(error).__name__}: {error}"
    return ""


def one_line(error: Exception) -> str:
    """An error in one line: what went wrong and what was got, of one that is not edgekit's its own words."""
    return f"{error.what} {error.got or ''}".strip() if isinstance(error, EdgekitError) else str(error)
