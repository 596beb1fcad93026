"""Counts as beekeepers' studies give them: the most seen at once, never a sum of sightings of the same few hornets."""

from __future__ import annotations

from collections.abc import Mapping

from edgekit.camera.events.lately import Lately

BUCKET = 900  # seconds, a quarter of an hour of wall-clock time
_LONGEST = 60.0  # seconds between two looks that still count as watching


class QuarterCounts:
    """The most at once of each label in each quarter of an hour, and for how long anybody looked.

    Attributes:
        lately: how many there are now.
    """

    def __init__(self) -> None:
        self.lately = Lately()
        self._most: dict[tuple[str, int], int] = {}
        self._watched: dict[int, float] = {}
        self._last: float | None = None

    def see(self, counts: Mapping[str, int], at: float) -> None:
        """How many of each label were seen at wall-clock seconds `at`."""
        self.lately.see(counts)
        bucket = int(at // BUCKET) * BUCKET
        for label, count in counts.items():
            key = (label, bucket)
            self._most[key] = max(self._most.get(key, 0), count)
        if self._last is not None and 0 < at - self._last <= _LONGEST:
            self._watched[bucket] = self._watched.get(bucket, 0.0) + at - self._last
        self._last = at

    def take(self) -> tuple[list[tuple[str, int, int]], list[tuple[int, float]]]:
        """What is new since the last call: (label, bucket, most) and (bucket, seconds watched more)."""
        taken = [(*key, most) for key, most in self._most.items()], list(self._watched.items())
        self._most, self._watched = {}, {}
        return taken
