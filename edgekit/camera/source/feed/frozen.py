"""Finds a camera that repeats one picture: frames keep coming, and nothing else notices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgekit.vision.image import Frame

_GRID = 96  # rows and columns that are compared at most
_DARK = 4  # grey levels: below it sensors clip to black, and black frames are equal


class FrozenWatch:
    """Flags a picture that has been the same for `after` seconds.

    Two frames of a real sensor are never equal, however still the scene is: noise changes every picture. So only
    pictures that are equal at all of some 9000 places count as the same; and a black one, which a sensor does
    repeat at night, is called dark instead.
    """

    def __init__(self, after: float) -> None:
        self.after = after
        self.dark = False
        self._last: NDArray[np.uint8] | None = None
        self._since = 0.0
        self._at = 0.0

    def see(self, frame: Frame, at: float) -> None:
        """Takes a frame captured at `at`, monotonic seconds."""
        steps = max(1, frame.shape[0] // _GRID), max(1, frame.shape[1] // _GRID)
        sample = frame[:: steps[0], :: steps[1]].copy()
        self.dark = bool(sample.max() <= _DARK)
        if self._last is None or self.dark or not np.array_equal(sample, self._last):
            self._since = at
        self._last, self._at = sample, at

    @property
    def same_for(self) -> float:
        """Seconds for which the picture has been the same."""
        return 0.0 if self._last is None else self._at - self._since

    @property
    def frozen(self) -> bool:
        return self.same_for >= self.after
