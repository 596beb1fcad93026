"""The numbers of the MLPerf Inference rules for its edge scenarios, and the estimate that they report.

Source: mlcommons/inference_policies, inference_rules.adoc, "Scenarios" and the appendix "Early Stopping Criterion", as
of 2026-07-23 (ac93e89). A run here is no MLPerf result: it has no LoadGen, and nobody reviewed it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgekit.benchmark.schema import ScenarioName

SECONDS = 600.0  # at least, of every scenario
OFFLINE_SAMPLES = 24_576  # at least, or the whole data set where it is smaller
QUERY: dict[ScenarioName, int] = {"SingleStream": 1, "MultiStream": 8}  # samples in one; of Offline all of them
PERCENTILE: dict[ScenarioName, float] = {"SingleStream": 90.0, "MultiStream": 99.0}
CONFIDENCE = 0.99


def allowed_above(queries: int, percent: float) -> int:
    """How many of `queries` may have been slower than a latency that `percent` of all keep, at 99 % confidence.

    The largest t at which t or fewer have a probability of at most 1 %, where each is slower with probability
    1 - percent / 100; below 0 there is none. 64 queries are the first of which one may be for p90, and 662 for p99.
    """
    slow = 1 - percent / 100
    k = np.arange(queries)
    steps = np.log(queries - k) - np.log(k + 1) + math.log(slow / (1 - slow))
    chances = np.exp(queries * math.log1p(-slow) + np.concatenate([[0.0], np.cumsum(steps)]))
    return int((np.cumsum(chances) <= 1 - CONFIDENCE).sum()) - 1


def estimate(latencies: Sequence[float], percent: float) -> tuple[float | None, int | None]:
    """The early-stopping estimate of a percentile, and how many of the largest were left out for it.

    The rules leave out all but one of those that may be slower; the largest of the others is reported. From too few
    queries there is none: (None, None).
    """
    above = allowed_above(len(latencies), percent)
    if above < 1:
        return None, None
    return sorted(latencies)[len(latencies) - above], above - 1


def shortcomings(name: ScenarioName, samples: int, seconds: float, latency: float | None, pictures: int) -> list[str]:
    """What the rules ask for that a run had not, in words.

    Args:
        latency: the estimate; None where there were too few queries for one.
        pictures: in the data set.
    """
    short = []
    if seconds < SECONDS:
        short.append(f"{seconds:.1f} s of the {SECONDS:.0f} s that the rules ask for")
    wanted = min(OFFLINE_SAMPLES, pictures)
    if name == "Offline" and samples < wanted:
        short.append(f"{samples} of at least {wanted} samples")
    if name in PERCENTILE and latency is None:
        short.append(f"too few queries for the estimate of p{PERCENTILE[name]:.0f}")
    return short
