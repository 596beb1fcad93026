"""A camera that gives no picture for minutes is an event of its own, and so is its return: nobody watches meanwhile."""

from __future__ import annotations

from edgekit.camera.clock import iso, wall
from edgekit.camera.events.uuid7 import uuid7
from edgekit.camera.events.visits import VisitEvent

SCHEMA = "edgekit.camera/1"
WELL = ("online", "dark")  # states of a source in which an insect would be seen


class Absence:
    """Of one camera. Times are monotonic seconds.

    Args:
        at: when it began to look.
    """

    def __init__(self, at: float) -> None:
        self._seen, self._told = at, ""
        self._why = ""

    def see(self, state: str, detail: str, at: float, after: float) -> tuple[VisitEvent, ...]:
        """`lost` once the source was in no good state for `after` seconds (0: never), `back` once it is again."""
        if state in WELL:
            since, ident, self._seen, self._told = self._seen, self._told, at, ""
            return (self._event("back", ident, since, at),) if ident else ()
        self._why = f"{state}: {detail}" if detail else state
        if self._told or not after or at - self._seen < after:
            return ()
        self._told = uuid7(wall(at))
        return (self._event("lost", self._told, self._seen, at),)

    def _event(self, kind: str, ident: str, since: float, at: float) -> VisitEvent:
        now = iso(wall(at))
        content = {
            "schema": SCHEMA, "id": ident, "type": kind, "start": iso(wall(since)), "last_seen": now,
            "end": now if kind == "back" else None, "why": self._why,
        }  # fmt: skip
        return VisitEvent("lost" if kind == "lost" else "back", ident, "", at, content)
