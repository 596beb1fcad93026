"""Counts as beekeepers' studies give them: the most seen at once, never a sum of sightings of the same few hornets."""

from __future__ import annotations

from collections.abc import Mapping

BUCKET = 900  # seconds, a quarter of an hour of wall-clock time
_LONGEST = 60.0  # seconds between two looks that still count as watching
# hornets at once before one hive; 12.6 is where foraging stopped in the studies vespCV and VespaVelutina-Impact cite
LEVELS = ((13, "paralysis"), (10, "high"), (5, "risk"), (1, "present"), (0, "none"))

_HORNETS = ("hornet", "vespa", "velutina", "crabro", "frelon", "hornisse", "avisp", "calabron")


def pressure(most: int) -> str:
    """The level of so many hornets at once: none, present, risk (5), high (10), paralysis (more than 12.6)."""
    return next(name for least, name in LEVELS if most >= least)


def level_of(label: str, most: int) -> str | None:
    """`pressure` of a label that names hornets; None for others: a hundred bees are no danger."""
    return pressure(most) if any(name in label.lower() for name in _HORNETS) else None


class QuarterCounts:
    """The most at once of each label in each quarter of an hour, and for how long anybody looked."""

    def __init__(self) -> None:
        self._most: dict[tuple[str, int], int] = {}
        self._watched: dict[int, float] = {}
        self._last: float | None = None

    def see(self, counts: Mapping[str, int], at: float) -> None:
        """How many of each label were seen at wall-clock seconds `at`."""
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
