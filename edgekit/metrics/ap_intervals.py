"""Intervals of average precision: the pictures are drawn again and again, and AP is computed of each draw."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgekit.metrics.coco_ap import IOUS, RECALLS, Matched, match
from edgekit.metrics.ground_truth import GroundTruth, Predictions
from edgekit.metrics.statistics import Interval
from edgekit.progress import track

RESAMPLES = 300

Parts = list[list[Matched]]  # of each class, of each picture


def matched_parts(
    truths: Sequence[GroundTruth], founds: Sequence[Predictions], n_classes: int, only_half: bool = False
) -> Parts:
    """Each picture's matching on its own, which a draw only puts together: matching is what costs.

    Args:
        only_half: at IoU 0.5 only.
    """
    ious = IOUS[:1] if only_half else IOUS
    pairs = list(zip(truths, founds, strict=True))
    return [[match([t], [f], label, ious)[0] for t, f in pairs] for label in range(n_classes)]


def drawn_ap(parts: Parts, picked: NDArray[np.intp]) -> float | None:
    """AP of the pictures `picked`, [n] indices with repetition; None where they hold no object."""
    values = []
    for pictures in parts:
        held = [pictures[i] for i in picked]
        objects = sum(m.objects for m in held)
        if objects:
            values.append(_average(held, objects))
    return float(np.mean(values)) if values else None


def ap_interval(parts: Parts, value: float, resamples: int = RESAMPLES) -> Interval:
    """`value` with the 95 % percentile-bootstrap interval over pictures."""
    count = len(parts[0])
    rng = np.random.default_rng(0)
    drawn = [
        ap
        for _ in track(range(resamples), "resampling pictures")
        if (ap := drawn_ap(parts, rng.integers(count, size=count))) is not None
    ]
    low, high = np.percentile(drawn, [2.5, 97.5]) if drawn else (0.0, 1.0)
    return Interval(value, min(float(low), value), max(float(high), value))


def ap_difference(reference: Parts, candidate: Parts, resamples: int = RESAMPLES) -> Interval | None:
    """AP of the candidate minus that of the reference, the same pictures drawn for both; None without objects."""
    count = len(reference[0])
    rng = np.random.default_rng(0)
    everything = np.arange(count)
    a, b = drawn_ap(reference, everything), drawn_ap(candidate, everything)
    if a is None or b is None:
        return None
    drawn = []
    for _ in track(range(resamples), "resampling pictures"):
        picked = rng.integers(count, size=count)
        x, y = drawn_ap(reference, picked), drawn_ap(candidate, picked)
        if x is not None and y is not None:
            drawn.append(y - x)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Interval(b - a, float(low), float(high))


def _average(held: Sequence[Matched], objects: int) -> float:
    """Mean over IoUs and 101 recalls of the best precision at each recall or beyond, as in `coco_ap`."""
    scores = np.concatenate([m.scores for m in held])
    order = np.argsort(-scores, kind="stable")
    hit = np.concatenate([m.right for m in held], axis=1)[:, order]
    spared = np.concatenate([m.ignored for m in held], axis=1)[:, order]
    right = np.cumsum(hit, axis=1, dtype=np.float64)
    wrong = np.cumsum(~hit & ~spared, axis=1, dtype=np.float64)
    precision = right / (wrong + right + np.spacing(1))
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    total = 0.0
    for t in range(len(right)):
        at = np.searchsorted(right[t] / objects, RECALLS, side="left")
        reached = at < right.shape[1]
        total += float(best[t, at[reached]].sum())
    return total / len(right) / len(RECALLS)
