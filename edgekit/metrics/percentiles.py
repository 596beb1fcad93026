"""The one rule for percentiles, of timings in reports and of a camera's frames. numpy only."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike


def nearest_rank(percent: float, n: int) -> int:
    """Index, among `n` sorted values, of the smallest that `percent` of them do not exceed."""
    return max(0, math.ceil(round(percent * n / 100, 9)) - 1)  # 99.9 % of 1000 is 999.0000000000001 to a float


def percentile(values: ArrayLike, percent: float) -> float:
    """One of `values`, [n] with n >= 1: the nearest rank (Hyndman and Fan 1996, type 1), so it was measured."""
    held = np.sort(np.asarray(values, dtype=np.float64).ravel())
    return float(held[nearest_rank(percent, len(held))])


def enough(percent: float) -> int:
    """How many values a percentile must come from to be reported: p90 10, p95 20, p99 100, p99.9 1000; the median 1.

    So many that one of them at least lies beyond it. From fewer the nearest rank is the largest (below the median: the
    smallest) under another name.
    """
    beyond = min(percent, 100 - percent)
    return 1 if beyond == 50 else math.ceil(round(100 / beyond, 9))


def percentile_if_enough(values: ArrayLike, percent: float) -> float | None:
    """`percentile`, or None where there are not `enough` values."""
    held = np.asarray(values, dtype=np.float64).ravel()
    return percentile(held, percent) if len(held) >= enough(percent) else None
