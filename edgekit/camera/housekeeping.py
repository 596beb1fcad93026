"""What is done every two seconds beside the frames: systemd, the heat, freed memory. It never ends a run."""

from __future__ import annotations

import time

from edgekit.camera.health import notify_systemd
from edgekit.camera.problems import Say
from edgekit.camera.thermal import ThermalLadder, hottest
from edgekit.memory import give_back

_EVERY = 2.0  # seconds
_TRIM, _FIRST_TRIM = 60.0, 8.0  # seconds between two returns of freed memory, and until the first


class Housekeeping:
    """The chores of a run, done in its thread.

    Args:
        say: takes lines for people.
    """

    def __init__(self, say: Say) -> None:
        self._say = say
        self._done_at = float("-inf")
        self._trimmed_at = time.monotonic() - _TRIM + _FIRST_TRIM
        self._failed = ""

    def soon(self) -> None:
        """The next call does all chores, however short the time since the last."""
        self._done_at = float("-inf")

    def regularly(self, ladder: ThermalLadder | None, alive: bool = True) -> None:
        """Does the chores every two seconds; a `ladder` of a live camera is told the board's heat. Never raises.

        Args:
            alive: whether the loops go round; where they don't systemd hears nothing, and starts the process again.
        """
        now = time.monotonic()
        if now - self._done_at < _EVERY:
            return
        self._done_at = now
        if alive:
            notify_systemd("WATCHDOG=1")
        for chore in (self._trim, self._cool):
            try:
                chore(ladder, now)
            except Exception as error:  # noqa: BLE001 - no frame may be lost for want of a temperature
                told = f"{chore.__name__.strip('_')}: {type(error).__name__}: {error}"
                if told != self._failed:
                    self._say(f"error: housekeeping failed, watching goes on: {told}")
                self._failed = told

    def _trim(self, _: ThermalLadder | None, now: float) -> None:
        if now - self._trimmed_at > _TRIM:
            self._trimmed_at = now
            give_back()

    def _cool(self, ladder: ThermalLadder | None, now: float) -> None:
        if ladder is not None and ladder.see(hottest(), now):
            fps = ladder.fps
            told = "as asked" if fps is None else f"{fps:g} times a second" if fps else "not at all"
            self._say(f"{ladder.celsius:.0f} degrees Celsius: looking {told}")
