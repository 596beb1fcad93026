"""What a threshold does to the boxes: right, wrong and missed ones, and which class was taken for which. numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import UsageError
from edgekit.metrics.average_precision.coco import match
from edgekit.metrics.classification import Rate, rate
from edgekit.metrics.ground_truth import GroundTruth, Predictions, check_pairs
from edgekit.metrics.matching import NOBODY, take_turns
from edgekit.vision.boxes import iou_matrix

SCORES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class BoxPoint:
    """Boxes of one class with score >= threshold: `found` right, `wrong`, and objects `missed`; exact intervals."""

    label: str
    threshold: float
    found: int
    wrong: int
    missed: int
    precision: Rate
    recall: Rate
    f1: float | None


def operating_points(
    truths: Sequence[GroundTruth],
    founds: Sequence[Predictions],
    classes: Sequence[str],
    threshold: float | Sequence[float],
    iou: float = 0.5,
) -> tuple[BoxPoint, ...]:
    """Precision and recall of the boxes with score >= threshold, one a class, matched as COCO does at `iou`.

    Raises:
        DataError: not one result a picture, no picture, or a label that is no class.
        UsageError: thresholds that do not fit the classes.
    """
    check_pairs(truths, founds, len(classes))
    limits = [float(threshold)] * len(classes) if isinstance(threshold, (int, float)) else list(threshold)
    if len(limits) != len(classes):
        got, expected = f"{len(limits)} thresholds", f"one, or {len(classes)}: one a class"
        raise UsageError("The thresholds do not fit the classes.", got=got, expected=expected)
    curves = (_points(truths, founds, label, name, [limits[label]], iou) for label, name in enumerate(classes))
    return tuple(point for (point,) in curves)


def box_curves(
    truths: Sequence[GroundTruth],
    founds: Sequence[Predictions],
    classes: Sequence[str],
    scores: Sequence[float] = SCORES,
    iou: float = 0.5,
) -> tuple[tuple[BoxPoint, ...], ...]:
    """Of each class the points at some scores: how precision and recall go along the curve. Raises as above."""
    check_pairs(truths, founds, len(classes))
    return tuple(_points(truths, founds, label, name, scores, iou) for label, name in enumerate(classes))


def _points(
    truths: Sequence[GroundTruth],
    founds: Sequence[Predictions],
    label: int,
    name: str,
    limits: Sequence[float],
    iou: float,
) -> tuple[BoxPoint, ...]:
    (matched,) = match(truths, founds, label, np.array([iou]), limit=max(len(f.scores) for f in founds))
    points = []
    for limit in limits:
        shown = matched.scores >= limit
        found = int((matched.right[0] & shown).sum())
        wrong = int((~matched.right[0] & ~matched.ignored[0] & shown).sum())
        missed = matched.objects - found
        f1 = 2 * found / (2 * found + wrong + missed) if matched.objects else None
        precision, recall = rate(found, found + wrong), rate(found, matched.objects)
        points.append(BoxPoint(name, limit, found, wrong, missed, precision, recall, f1))
    return tuple(points)


def best_threshold(
    truths: Sequence[GroundTruth],
    founds: Sequence[Predictions],
    label: int,
    precision: float | None = None,
    iou: float = 0.5,
) -> float | None:
    """From which score on boxes of a class are best shown: where their F1 is highest, matched as COCO does at `iou`.

    Args:
        precision: smallest share of right boxes, 0..1: then the threshold that finds the most objects with it; where
            none has it, the one of the highest F1.

    Returns:
        Half-way between the lowest score that is shown and the next one; None where there is nothing to find or
        nothing right was found.
    """
    (matched,) = match(truths, founds, label, np.array([iou]), limit=max(len(f.scores) for f in founds))
    counted = ~matched.ignored[0]
    scores, right = matched.scores[counted], matched.right[0][counted]
    if not matched.objects or not right.any():
        return None
    last = np.append(scores[1:] < scores[:-1], True)  # of equal scores all are shown or none
    hits = np.cumsum(right)
    shown = np.arange(1, len(scores) + 1)
    f1 = np.where(last, 2 * hits / (shown + matched.objects), -1.0)
    best = int(f1.argmax())
    if precision is not None:
        enough = np.flatnonzero(last & (hits / shown >= precision) & (hits > 0))
        best = int(enough[-1]) if len(enough) else best
    below = scores[best + 1] if best + 1 < len(scores) else 0.0
    return float((scores[best] + below) / 2)


def confusion(
    truths: Sequence[GroundTruth],
    founds: Sequence[Predictions],
    n_classes: int,
    threshold: float | Sequence[float],
    iou: float = 0.5,
) -> NDArray[np.int64]:
    """int64 [C + 1, C + 1]: objects of class i (row) found as class j (column); the last row and column are nothing.

    Boxes take objects of any class, best score first, those of their own class before others; boxes on what is set
    aside are not counted.

    Raises:
        DataError: not one result a picture, no picture, or a label that is no class.
    """
    check_pairs(truths, founds, n_classes)
    limits = np.broadcast_to(np.asarray(threshold, dtype=np.float64), (n_classes,))
    table = np.zeros((n_classes + 1, n_classes + 1), dtype=np.int64)
    for truth, found in zip(truths, founds, strict=True):
        shown = np.flatnonzero(found.scores >= limits[found.labels])
        shown = shown[np.argsort(-found.scores[shown], kind="stable")]
        overlap = iou_matrix(found.boxes[shown], truth.boxes)
        crowds = iou_matrix(found.boxes[shown], truth.ignored_boxes, np.ones(len(truth.ignored_boxes), dtype=np.bool_))
        labels = found.labels[shown]
        of_own = np.where(labels[:, None] == truth.labels, overlap, -np.inf)
        (taken,) = take_turns(of_own, [iou])
        left = np.flatnonzero(taken == NOBODY)
        of_others = overlap[left]
        of_others[:, taken[taken != NOBODY]] = -np.inf
        (taken[left],) = take_turns(of_others, [iou])
        as_class = np.full(len(truth.labels), n_classes)
        as_class[taken[taken != NOBODY]] = labels[taken != NOBODY]
        nowhere = (taken == NOBODY) & ~(crowds >= iou).any(axis=1)
        np.add.at(table, (n_classes, labels[nowhere]), 1)
        np.add.at(table, (truth.labels, as_class), 1)
    return table
