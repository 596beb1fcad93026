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
        risen: whether more were seen at once than was taken for their quarter, so that it is worth a write.
    """

    def __init__(self) -> None:
        self.lately = Lately()
        self.risen = False
        self._most: dict[tuple[str, int], int] = {}
        self._taken: dict[tuple[str, int], int] = {}
        self._watched: dict[int, float] = {}
        self._last: float | None = None

    def see(self, counts: Mapping[str, int], at: float) -> None:
        """How many of each label were seen at wall-clock seconds `at`."""
        self.lately.see(counts)
        bucket = int(at // BUCKET) * BUCKET
        for label, count in counts.items():
            key = (label, bucket)
            self._most[key] = max(self._most.get(key, 0), count)
            self.risen = self.risen or count > self._taken.get(key, 0)
        if self._last is not None and 0 < at - self._last <= _LONGEST:
            self._watched[bucket] = self._watched.get(bucket, 0.0) + at - self._last
        self._last = at

    def take(self) -> tuple[list[tuple[str, int, int]], list[tuple[int, float]]]:
        """What is new since the last call: (label, bucket, most) and (bucket, seconds watched more)."""
        taken = [(*key, most) for key, most in self._most.items()], list(self._watched.items())
        last = max((bucket for _, bucket, _ in taken[0]), default=0)
        known = {key: most for key, most in self._taken.items() if key[1] >= last - BUCKET}
        self._taken = {**known, **{key: max(most, known.get(key, 0)) for key, most in self._most.items()}}
        self._most, self._watched, self.risen = {}, {}, False
        return taken
