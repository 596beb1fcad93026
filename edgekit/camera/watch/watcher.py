"""Looks at all parts, starts again what stands still, and says each change of state once, with its reason."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from edgekit.camera.problems import Say, one_line
from edgekit.camera.watch.part import Part
from edgekit.errors import EdgekitError, StandstillError
from edgekit.screen import masked

_EVERY = 1.0  # seconds between two looks
_GRACE = 10.0  # seconds that a part gets after a restart until it stands still again, or counts as well
_FAILED = 30.0  # seconds that a failed part is given to come back by itself, until the process ends

State = Literal["well", "restarted", "failed"]


@dataclass
class _Watched:
    part: Part
    state: State = "well"
    since: float = 0.0  # of the state
    why: str = ""
    restarts: int = 0  # since the process began
    in_a_row: int = 0  # without being well in between


class Watcher:
    """Watches parts by their progress. All calls but `status` come from one thread.

    A part that stood still for its patience is started again at once. If it stands still once more before it was well,
    it is tried again, as often as it may be; then it has failed: the watchdog's pings stop, and after half a minute
    `ended` asks for the end of the process, which systemd starts again.

    Args:
        say: takes lines for people.
        now: monotonic seconds; another clock in tests.
    """

    def __init__(self, say: Say = print, now: Callable[[], float] = time.monotonic) -> None:
        self._say, self._now = say, now
        self._watched: dict[str, _Watched] = {}
        self._looked_at = float("-inf")

    def set(self, parts: list[Part]) -> None:
        """These are the parts from now on; those of a known name keep their state."""
        known, self._watched = self._watched, {}
        for part in parts:
            watched = known.get(part.name) or _Watched(part, since=self._now())
            watched.part = part
            self._watched[part.name] = watched

    def look(self) -> None:
        """Once a second: starts again what stands still. Never raises."""
        now = self._now()
        if now - self._looked_at < _EVERY:
            return
        self._looked_at = now
        for watched in list(self._watched.values()):
            self._judge(watched, now)

    @property
    def well(self) -> bool:
        """Whether no part has failed: then a watchdog may be told that all goes on."""
        return not any(watched.state == "failed" for watched in list(self._watched.values()))

    @property
    def ended(self) -> str:
        """Which part has failed for so long that only a new process can help, and why; else nothing."""
        now = self._now()
        for watched in list(self._watched.values()):
            if watched.state == "failed" and now - watched.since >= _FAILED:
                return f"{watched.part.name}: {watched.why}"
        return ""

    def raise_if_ended(self) -> None:
        """Raises StandstillError where a part has `ended`."""
        if ended := self.ended:
            raise StandstillError(
                "A part of the camera stands still, and starting it again did not help.",
                got=ended,
                fix="let systemd start the process again (Restart=always)",
            )

    def status(self) -> list[dict[str, Any]]:
        """Of each part its state, for how many seconds, why, and how often it was started again; plain data."""
        now = self._now()
        return [
            {
                "name": one.part.name,
                "state": one.state,
                "for": round(now - one.since, 1),
                "why": one.why,
                "restarts": one.restarts,
            }
            for one in list(self._watched.values())
        ]

    def _judge(self, watched: _Watched, now: float) -> None:
        part = watched.part
        try:
            stood, why = part.standing()
        except Exception as error:  # noqa: BLE001 - whoever cannot say how it is is not well
            stood, why = float("inf"), f"it cannot be asked: {type(error).__name__}: {error}"
        why = masked(why)
        if stood < max(part.patience, 1e-9):
            if watched.state == "restarted" and now - watched.since < _GRACE and stood > 0:
                return
            if watched.state == "failed" or (watched.state == "restarted" and now - watched.since >= _GRACE):
                self._say(f"{part.name}: all is well again, after {now - watched.since:.0f} s ({watched.why})")
                watched.state, watched.since, watched.why, watched.in_a_row = "well", now, "", 0
            return
        if watched.state == "failed":
            return
        if watched.state == "restarted" and now - watched.since < part.patience:
            return  # it was only just started, and what it says is of before
        if part.tries is not None and watched.in_a_row >= part.tries:
            self._fail(watched, now, f"{why}, also after {watched.in_a_row} restarts")
            return
        watched.restarts += 1
        watched.in_a_row += 1
        watched.state, watched.since, watched.why = "restarted", now, why
        self._say(f"error: {part.name}: {why}: it is started again")
        try:
            part.restart()
        except Exception as error:  # noqa: BLE001 - a restart that fails must not end the watching
            told = one_line(error) if isinstance(error, EdgekitError) else f"{type(error).__name__}: {error}"
            self._fail(watched, now, masked(f"{why}, and it could not be started again: {told}"))

    def _fail(self, watched: _Watched, now: float, why: str) -> None:
        watched.state, watched.since, watched.why = "failed", now, why
        self._say(f"error: {watched.part.name}: {why}: the watchdog is told no more")
