"""Is a model on trial to be kept? It looks at every frame that it is asked to, in time, and for long enough."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.camera.config import CameraConfig, MotionConfig
from edgekit.camera.health import Health
from edgekit.screen import count_of
from edgekit.updating.pace import too_slow

KEEP = ""
_TAKEN = 20.0  # seconds in which a camera that is told of a new model has it
_IN_A_ROW = 3  # frames that it fails on
_SHARE = 0.05  # of all frames
_PATIENCE = 12.0  # seconds without a look while frames come
_TIMED, _MANY = 30, 200  # looks from which on their median says something, and how many are asked


@dataclass(frozen=True)
class Seen:
    """What a camera says of its model.

    Attributes:
        model: sha256 (hex) of the file at work.
        looks, failures: since the camera started.
        seconds: of the last looks, the newest last.
        patience: seconds within which a look is due; infinite where the camera is away or pauses.
    """

    model: str
    looks: int
    failures: int
    seconds: Sequence[float]
    patience: float


def seen_of(model: str, healths: Sequence[Health], motion: MotionConfig) -> Seen:
    """What the cameras of a process say together; a look of any of them is one."""
    patience = min((_patience(health, motion) for health in healths), default=float("inf"))
    seconds = [taken for health in healths for taken in list(health.inference)]
    looks = sum(health.inferred for health in healths)
    return Seen(model, looks, sum(health.model_errors for health in healths), seconds, patience)


def _patience(health: Health, motion: MotionConfig) -> float:
    feed, rate = health.feed, health.rate
    if feed is None or rate is None or rate.fps <= 0 or feed.state() not in ("online", "dark"):
        return float("inf")
    return max(_PATIENCE, 3 / rate.fps, 3 * motion.every if motion.gate else 0.0)


class Judge:
    """Watches one trial. Times are monotonic seconds.

    Args:
        config: of the process.
        model: sha256 (hex) of the file on trial.
        standing: what the same camera said of the model before it; None: there is nothing to compare with.
        at: now.
    """

    def __init__(self, config: CameraConfig, model: str, standing: Seen | None, at: float) -> None:
        self._config, self._rules, self._model = config, config.update, model
        timed = standing is not None and len(standing.seconds) >= _TIMED
        self._standing = statistics.median(standing.seconds[-_MANY:]) if standing is not None and timed else 0.0
        self._told = at
        self._first: Seen | None = None
        self._began = self._moved = at
        self._looks = self._failures = self._in_a_row = 0

    def see(self, seen: Seen, at: float) -> str | None:
        """None: it goes on; `KEEP`; or why the model is to be given back."""
        if seen.model != self._model:
            return "the camera could not take it" if at - self._told > _TAKEN else None
        if self._first is None:
            self._first, self._began, self._moved = seen, at, at
        looks, failures = seen.looks - self._first.looks, seen.failures - self._first.failures
        if (looks, failures) != (self._looks, self._failures) or seen.patience == float("inf"):
            self._moved = at
        self._in_a_row = failures - self._failures + (self._in_a_row if looks == self._looks else 0)
        self._looks, self._failures = looks, failures
        return self._wrong(seen, at) or (KEEP if self._enough(at) else None)

    def _enough(self, at: float) -> bool:
        return at - self._began >= 60 * self._rules.trial_minutes and self._looks >= self._rules.trial_looks

    def _wrong(self, seen: Seen, at: float) -> str:
        if self._in_a_row >= _IN_A_ROW:
            return f"it failed on {count_of(self._in_a_row, 'frame')} in a row"
        if self._failures >= _IN_A_ROW and self._failures > _SHARE * (self._looks + self._failures):
            return f"it failed on {self._failures} of {count_of(self._looks + self._failures, 'frame')}"
        if at - self._moved > seen.patience:
            return f"it has not looked at a frame for {at - self._moved:.0f} s"
        if self._standing and self._looks >= _TIMED:
            return too_slow(self._config, statistics.median(seen.seconds[-self._looks :]), self._standing)
        return ""
