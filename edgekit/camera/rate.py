"""How often to look: the slowest of what was asked, the idle and the night mode and the thermal ladder."""

from __future__ import annotations

import numpy as np

from edgekit.camera.config import CameraConfig
from edgekit.camera.thermal import ThermalLadder
from edgekit.vision.image import Frame

_DUSK = 5.0  # grey levels; night ends this much brighter than it begins
_SETTLE = 20.0  # seconds that night or day must last, because a hand before the lens is neither


class RateController:
    """Decides when the next look is due. Times are monotonic seconds.

    Args:
        ladder: of the board, which all its cameras share; none: one of its own.
    """

    def __init__(self, config: CameraConfig, at: float, ladder: ThermalLadder | None = None) -> None:
        self._config = config
        self.ladder = ladder or ThermalLadder(config.thermal)
        self.night = False
        self._busy_at = at
        self._other_since: float | None = None
        self._due = at
        self._now = at

    def saw(self, frame: Frame, busy: bool, at: float) -> None:
        """Takes a frame that was looked at: how bright it is, and whether anything moved or is there."""
        self._now = at
        if busy:
            self._busy_at = at
        below = self._config.rate.night_below
        if below:
            grey = float(np.mean(frame[::16, ::16]))
            other = grey > below + _DUSK if self.night else grey < below
            self._other_since = (at if self._other_since is None else self._other_since) if other else None
            if self._other_since is not None and at - self._other_since >= _SETTLE:
                self.night, self._other_since = not self.night, None

    @property
    def mode(self) -> str:
        """`paused`, `hot`, `night`, `idle` or `normal`: what limits the rate now."""
        limit = self.ladder.fps
        if limit == 0:
            return "paused"
        if self.night:
            return "night"
        if self._idle:
            return "idle"
        return "hot" if limit is not None else "normal"

    @property
    def fps(self) -> float:
        """Looks a second now; infinite for as often as possible, 0 for none."""
        limits = [self._config.rate.fps or float("inf")]
        if self.ladder.fps is not None:
            limits.append(self.ladder.fps)
        if self.night:
            limits.append(self._config.rate.night_fps)
        if self._idle:
            limits.append(self._config.rate.idle_fps or float("inf"))
        return min(limits)

    @property
    def _idle(self) -> bool:
        return self._config.motion.gate and self._now - self._busy_at >= self._config.rate.idle_after

    def wait(self, at: float) -> float:
        """Seconds until the next look, infinite in a pause."""
        return float("inf") if self.fps == 0 else max(0.0, self._due - at)

    def looked(self, at: float) -> None:
        """A look began at `at`; the next one is due a step later, on the same grid where it was kept."""
        step = 1 / self.fps if self.fps else 0.0
        # a hair early, or a 20 fps source asked for 5 would give 4
        self._due = max(self._due + step, at + 0.9 * step) if step else at
