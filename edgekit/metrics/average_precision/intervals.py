"""Intervals of average precision: the pictures are drawn again and again, and AP is computed of each draw."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgekit.metrics.average_precision.coco import IOUS, Matched, interpolated, match
from edgekit.metrics.bootstrap import interval, picked
from edgekit.metrics.ground_truth import GroundTruth, Predictions
from edgekit.metrics.statistics import Interval

ROUNDS = 300
DOING = "resampling pictures"

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


def drawn_ap(parts: Parts, chosen: NDArray[np.intp]) -> float | None:
    """AP of the pictures `chosen`, [n] indices with repetition; None where they hold no object."""
    values = []
    for pictures in parts:
        held = [pictures[i] for i in chosen]
        objects = sum(m.objects for m in held)
        if objects:
            order = np.argsort(-np.concatenate([m.scores for m in held]), kind="stable")
            right, ignored = (
                np.concatenate(flags, axis=1)[:, order]
                for flags in ([m.right for m in held], [m.ignored for m in held])
            )
            values.append(float(interpolated(right, ignored, objects).mean()))
    return float(np.mean(values)) if values else None


def ap_interval(parts: Parts, value: float, rounds: int = ROUNDS) -> Interval:
    """`value` with the 95 % bootstrap interval over pictures, which holds it; 0 to 1 where no draw has an object."""
    count = len(parts[0])
    found = interval(value, lambda rng: drawn_ap(parts, picked(rng, count)), rounds, doing=DOING)
    return Interval(value, max(0.0, min(found.low, value)), min(1.0, max(found.high, value)))


def ap_difference(reference: Parts, candidate: Parts, rounds: int = ROUNDS) -> Interval | None:
    """AP of the candidate minus that of the reference, the same pictures drawn for both; None without objects."""
    count = len(reference[0])

    def difference(chosen: NDArray[np.intp]) -> float | None:
        a, b = drawn_ap(reference, chosen), drawn_ap(candidate, chosen)
        return None if a is None or b is None else b - a

    value = difference(np.arange(count))
    if value is None:
        return None
    found = interval(value, lambda rng: difference(picked(rng, count)), rounds, doing=DOING)
    return Interval(value, max(-1.0, found.low), min(1.0, found.high))
