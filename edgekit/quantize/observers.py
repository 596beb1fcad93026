"""What values a tensor takes, and which range of them is worth an 8-bit grid.

A histogram is filled picture by picture in bounded memory; four rules choose a range from it:

    minmax      everything that was seen
    percentile  all but the outermost 0.01 % of each side
    entropy     the clip whose 8-bit distribution loses least information (Migacz 2017, "8-bit Inference with TensorRT")
    mse         the clip with the least squared error, rounding and cutting off together
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from edgekit.config.schemes import Grid
from edgekit.errors import DataError, UsageError

Method = Literal["minmax", "percentile", "entropy", "mse"]
Floats = NDArray[np.float64]

HALF = 4096  # bins of each sign: 32 or more to a step of an 8-bit grid without clipping, at least 16 just after growing
_LEAST = 2.0**-115  # of a histogram's limit: HALF / limit is still a float32
TAIL = 1e-4  # what `percentile` cuts off each side


class Histogram:
    """Counts of a tensor's values between -limit and limit, a power of two that doubles when larger values come.

    Doubling merges bins in pairs, so nothing that was counted moves to a wrong bin. Exact zeros, of which a ReLU makes
    half, are counted apart: the middle of a bin is not zero.

    Attributes:
        counts: int64 [2 HALF], bin i spans (i - HALF) limit / HALF to the next.
        limit: above every |value| so far; 0 while only zeros were seen.
        zeros: exact zeros.
        low, high: smallest and largest value so far; inf and -inf while empty.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(2 * HALF, np.int64)
        self.limit = 0.0
        self.zeros = 0
        self.low = math.inf
        self.high = -math.inf

    def add(
        self, values: NDArray[np.floating], matter: NDArray[np.bool_] | None = None, most: int | None = None
    ) -> None:
        """Counts the values of an array of any shape.

        Args:
            matter: of the same shape, which values are counted; the others only move `low` and `high`.
            most: of a larger array every so many are counted, spread evenly, so many at most; `low` and `high` are
                those of all values nevertheless.

        Raises:
            DataError: one is not a number or infinite.
        """
        flat = np.asarray(values, np.float32).reshape(-1)
        if not flat.size:
            return
        low, high = float(flat.min()), float(flat.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise DataError("A tensor has values that are NaN or infinite.", expected="finite numbers")
        self.low, self.high = min(self.low, low), max(self.high, high)
        step = 1 if most is None or flat.size <= most else -(-flat.size // most) | 1  # odd: all columns of a map
        flat = flat[::step]
        if matter is not None:
            flat = flat[matter.reshape(-1)[::step]]
        if matter is not None or step > 1:
            low, high = float(flat.min(initial=0.0)), float(flat.max(initial=0.0))
        peak = max(-low, high)
        zeros = flat.size - int(np.count_nonzero(flat))
        self.zeros += zeros
        if not peak:
            return
        self._grow(max(_LEAST, math.ldexp(1.0, math.frexp(peak)[1])))
        bins = (flat * np.float32(HALF / self.limit) + np.float32(HALF)).astype(np.int32)
        np.clip(bins, 0, 2 * HALF - 1, out=bins)
        self.counts += np.bincount(bins, minlength=2 * HALF)
        self.counts[HALF] -= zeros

    def _grow(self, limit: float) -> None:
        if not self.limit:
            self.limit = limit
        while self.limit < limit:
            merged = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts[:] = 0
            self.counts[HALF // 2 : HALF // 2 + HALF] = merged
            self.limit *= 2

    @property
    def total(self) -> int:
        """Values counted."""
        return self.zeros + int(self.counts.sum())

    @property
    def peak(self) -> float:
        """Largest |value|; 0 while empty."""
        return max(-self.low, self.high, 0.0) if self.low <= self.high else 0.0

    def middles(self) -> tuple[Floats, Floats]:
        """The middles of the bins that are not empty, inside low..high, and how many values are in each."""
        filled = np.flatnonzero(self.counts)
        at = (filled - HALF + 0.5) * (self.limit / HALF)
        return np.clip(at, self.low, self.high), self.counts[filled].astype(np.float64)


def choose_range(seen: Histogram, method: Method, grid: Grid) -> tuple[float, float]:
    """The range low <= 0 <= high that `method` finds worth keeping on `grid`.

    Raises:
        UsageError: unknown method.
        DataError: an empty histogram.
    """
    if method not in METHODS:
        raise UsageError("Unknown way to choose ranges.", got=str(method), expected="one of " + ", ".join(METHODS))
    if seen.low > seen.high:
        raise DataError("A range was asked of a tensor that was never seen.", expected="at least one picture")
    low, high = METHODS[method](seen, grid)
    return min(low, 0.0), max(high, 0.0)


def minmax(seen: Histogram, grid: Grid) -> tuple[float, float]:
    """The smallest and the largest value seen: nothing is clipped."""
    return seen.low, seen.high


def percentile(seen: Histogram, grid: Grid) -> tuple[float, float]:
    """All but `TAIL` of all values on each side."""
    at, count = seen.middles()
    if not len(at):
        return seen.low, seen.high
    allowed = TAIL * seen.total
    half_bin = seen.limit / HALF / 2
    below = np.flatnonzero(np.cumsum(count) > allowed)
    above = np.flatnonzero(np.cumsum(count[::-1]) > allowed)
    low = at[below[0]] - half_bin if len(below) else 0.0
    high = at[::-1][above[0]] + half_bin if len(above) else 0.0
    return max(float(low), seen.low), min(float(high), seen.high)


def squared_error(at: Floats, count: Floats, grid: Grid, low: float, high: float) -> float:
    """Sum of (value - its grid point)^2 over all values, which are at `at` so often, for the range low..high."""
    scale, zero = grid.parameters(low, high)
    steps = np.clip(np.rint(at / scale) + zero, grid.low, grid.high) - zero
    return float(count @ (at - steps * scale) ** 2)


def mse(seen: Histogram, grid: Grid) -> tuple[float, float]:
    """Least squared error: both ends shrink by factors down to 0.2, first coarsely, then finely around the best."""
    at, count = seen.middles()
    low, high = min(seen.low, 0.0), max(seen.high, 0.0)
    if not len(at):
        return low, high
    best, best_error = (1.0, 1.0), math.inf
    for centre, width, points in (((0.6, 0.6), 0.4, 17), (None, 0.05, 11), (None, 0.01, 9)):
        middle = centre or best
        ends = [np.clip(np.linspace(m - width, m + width, points), 0.02, 1.0) for m in middle]
        if grid.symmetric or low == 0.0 or high == 0.0:  # one number decides
            pairs = [(f, f) for f in ends[1]]
        else:
            pairs = [(f, g) for f in ends[0] for g in ends[1]]
        for f, g in pairs:
            error = squared_error(at, count, grid, float(low * f), float(high * g))
            if error < best_error:
                best, best_error = (float(f), float(g)), error
    return low * best[0], high * best[1]


def entropy(seen: Histogram, grid: Grid) -> tuple[float, float]:
    """Least Kullback-Leibler divergence between the clipped values and what the grid keeps of them.

    As in the source: by magnitude, the clipped tail added to the last bin of the reference, a step's values spread
    evenly over those of its bins that were not empty.
    """
    two_sided = seen.low < 0 < seen.high
    sizes = seen.counts[HALF:] + seen.counts[:HALF][::-1]  # by magnitude
    last = np.flatnonzero(sizes)
    if not len(last):
        return seen.low, seen.high
    fine = sizes[: last[-1] + 1].astype(np.float64)
    # half of the integers are each sign's, unless the grid moves with the values
    levels = (grid.high - grid.low + 1) // (2 if two_sided or grid.symmetric else 1)
    best, best_divergence = len(fine), math.inf
    stops = range(levels, len(fine) + 1, max(1, len(fine) // 512))
    for stop in stops:
        divergence = _divergence(fine, stop, levels)
        if divergence < best_divergence:
            best, best_divergence = stop, divergence
    limit = best * seen.limit / HALF
    return max(seen.low, -limit), min(seen.high, limit)


def _divergence(fine: Floats, stop: int, levels: int) -> float:
    """KL(P || Q) of the first `stop` bins: P with the tail in its last bin, Q without it, merged to `levels` steps."""
    inside = fine[:stop]
    clipped = inside.copy()
    clipped[-1] += fine[stop:].sum()
    step = np.minimum(np.arange(stop) * levels // stop, levels - 1)
    filled = inside > 0
    mass = np.bincount(step, inside, levels)
    places = np.bincount(step, filled, levels)
    spread = np.where(filled, (mass / np.maximum(places, 1))[step], 0.0)
    p, q = clipped / clipped.sum(), spread / max(spread.sum(), 1.0)
    seen = p > 0
    # a value that Q has lost altogether counts as one in the last place of a double, not as infinity
    return float((p[seen] * np.log(p[seen] / np.maximum(q[seen], 1e-12))).sum())


METHODS: dict[str, Callable[[Histogram, Grid], tuple[float, float]]] = {
    "minmax": minmax,
    "percentile": percentile,
    "entropy": entropy,
    "mse": mse,
}
assert set(METHODS) == set(get_args(Method))
