"""What the camera's rules make of a clip that somebody else looked at: tracks and visits, no threads and no store."""

from __future__ import annotations

import numpy as np

from edgekit.camera.events.visits import Visit
from edgekit.camera.rules import Rules
from edgekit.vision.results import Detections


class Replay:
    """The visits of one clip, from what a model found in its frames one after the other.

    Args:
        rules: made anew for each clip.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._visits: dict[str, Visit] = {}

    def see(self, found: Detections, shape: tuple[int, ...], at: float) -> None:
        """Takes a frame's detections, down to any score, in its pixels; `at` seconds, not before the last call's."""
        strong = found[np.flatnonzero(found.scores >= self._rules.floor)]
        tracks = self._rules.tracker.update(self._rules.kept(strong, shape), at)
        self._rules.visits.update(tracks, shape, at)
        self._visits |= {visit.ident: visit for visit in self._rules.visits.open}

    @property
    def visits(self) -> tuple[Visit, ...]:
        """All so far, in the order in which they began; `start` and `seen` are seconds as `see` was told them."""
        return tuple(self._visits.values())
