"""Finds a camera that repeats one picture: frames keep coming, and nothing else notices."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgekit.vision.image import Frame

_GRID = 96  # rows and columns that are compared at most, or up to twice as many
_DARK = 4  # grey levels: below it sensors clip to black, and black frames are equal
_BRIGHT = 251  # above it they clip to white
_CELLS = (12, 16)  # rows and columns of regions
_CLOCK = 0.12  # share of the regions that a burnt-in clock may take
_ENOUGH = 0.25  # share of the picture that must not be clipped, to be judged without the rest
_NOISY = 0.5  # share of frames in which a region changed before, so that noise is to be expected
_MEMORY = 300.0  # seconds
_UNSURE = 6.0  # times as long where it is not known that the picture should change


class FrozenWatch:
    """Flags a picture that has been the same for `after` seconds.

    Two frames of a real sensor are never equal, however still the scene is: noise changes every picture. So only
    pictures that are equal at all of some 9000 places count as the same; and a black one, which a sensor does
    repeat at night, is called dark instead.

    Two things hide that. A **codec** leaves out what changes little, so that a healthy H.265 stream gives bit-equal
    frames for 25 s: frames that refer to others prove nothing, and only those that were coded by themselves are
    compared, since noise is in each of them anew. A **burnt-in clock** goes on over a picture that doesn't: where all
    regions but a small patch stopped, of those that are neither black nor white, it is frozen too, after `after`
    seconds where they had noise before and after six times as long where nobody saw them have any.
    """

    def __init__(self, after: float) -> None:
        self.after = after
        self.dark = False
        self._last: NDArray[np.uint8] | None = None
        self._changed = np.zeros(_CELLS)  # when each region did
        self._noise = np.zeros(_CELLS)  # share of frames in which it did
        self._clear = np.ones(_CELLS, bool)  # whether a region is neither black nor white
        self._at = self._since = self._noise_before = 0.0
        self._sure = self._whole = True

    def see(self, frame: Frame, at: float, alone: bool | None = True) -> None:
        """Takes a frame captured at `at`, monotonic seconds.

        Args:
            alone: whether it was coded without reference to others; None where that is not known.
        """
        steps = max(1, frame.shape[0] // _GRID), max(1, frame.shape[1] // _GRID)
        sample = frame[:: steps[0], :: steps[1]].copy()
        self.dark = bool(sample.max() <= _DARK)
        if alone is False and not self.dark:
            return
        self._sure = alone is not None
        if self._last is None or self.dark or sample.shape != self._last.shape:
            self._changed[:] = at
        else:
            other = _by_cell(np.any(sample != self._last, axis=2))
            kept = np.exp(-(at - self._at) / _MEMORY)
            self._noise = kept * self._noise + (1 - kept) * other
            self._changed[other] = at
            self._clear = _by_cell(np.all((sample > _DARK) & (sample < _BRIGHT), axis=2))
        self._last, self._at = sample, at
        self._judge()

    @property
    def same_for(self) -> float:
        """Seconds for which the picture has been the same, but for a clock in it."""
        return max(0.0, self._at - self._since)

    @property
    def frozen(self) -> bool:
        if self._last is None:
            return False
        sure = self._sure and (self._whole or self._noise_before >= _NOISY)
        return self.same_for >= self.after * (1 if sure else _UNSURE)

    def _judge(self) -> None:
        """Since when all has been the same but for what fits into a clock's rectangle."""
        self._since, self._whole = float(self._changed.max()), True
        if self._at - self._since >= self.after or self._clear.mean() < _ENOUGH:
            return
        self._whole = False
        rows, columns = np.nonzero(self._clear)
        times = self._changed[rows, columns]
        top, left, bottom, right = _CELLS[0], _CELLS[1], 0, 0
        for i in np.argsort(-times, kind="stable").tolist():
            row, column = int(rows[i]), int(columns[i])
            top, left, bottom, right = min(top, row), min(left, column), max(bottom, row), max(right, column)
            if (bottom - top + 1) * (right - left + 1) > _CLOCK * self._clear.size:
                self._since = float(times[i])
                break
        still = self._clear & (self._changed <= self._since)
        self._noise_before = float(np.median(self._noise[still])) if still.any() else 0.0


def _by_cell(places: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """bool [h, w] to bool `_CELLS`: whether there is any in a region."""
    rows, columns = (np.arange(n) * size // n for n, size in zip(_CELLS, places.shape, strict=True))
    found: NDArray[np.bool_] = np.logical_or.reduceat(np.logical_or.reduceat(places, rows, 0), columns, 1)
    return found
