"""COCO's average precision, equal to pycocotools to rounding. numpy only: a board evaluates too.

Source: the COCO evaluation (cocodataset.org/#detection-eval) and its reference, pycocotools/cocoeval.py 2.0.11, whose
rules for ties, crowds and areas are followed one by one. Own code, since a board has no pycocotools and the intervals
need each picture's own matching; the tests compare the two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.metrics.ground_truth import GroundTruth, Predictions, check_pairs
from edgekit.metrics.matching import NOBODY, take_turns
from edgekit.vision.boxes import area, iou_matrix

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

IOUS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
MAX_DETECTIONS = 100  # a picture and class
# square pixels, both ends included; `all` first
AREAS = {"all": (0.0, 1e10), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e10)}


@dataclass(frozen=True, eq=False)
class CocoAP:
    """Precision as COCO has it, and the means of it that are published.

    Attributes:
        precision: float64 [10 IoUs, 101 recalls, classes, 4 areas], 0..1, and NaN where there is no object.
    """

    precision: Floats

    def mean(self, iou: float | None = None, area: str = "all", label: int | None = None) -> float | None:
        """AP, AP50 (iou=0.5), small, medium, large, of all classes or one; None where there is no object."""
        values = self.precision[..., list(AREAS).index(area)]
        if iou is not None:
            values = values[[int(np.argmin(np.abs(IOUS - iou)))]]
        if label is not None:
            values = values[:, :, label]
        values = values[~np.isnan(values)]
        return float(values.mean()) if values.size else None


@dataclass(frozen=True, eq=False)
class Matched:
    """What became of one class's detections over all pictures, best score first.

    Attributes:
        scores: float64 [D].
        right: bool [T, D], matched an object.
        ignored: bool [T, D], neither right nor wrong.
        objects: how many there were to find.
    """

    scores: Floats
    right: Flags
    ignored: Flags
    objects: int


def coco_ap(truths: Sequence[GroundTruth], founds: Sequence[Predictions], n_classes: int) -> CocoAP:
    """Average precision over IoU 0.50:0.05:0.95, 101 recalls, at most 100 detections a picture and class.

    Objects set aside are crowds: they count as no object, and any number of detections may lie in one unpunished.

    Raises:
        DataError: not one result a picture, or a label that is no class.
    """
    check_pairs(truths, founds, n_classes)
    precision = np.full((len(IOUS), len(RECALLS), n_classes, len(AREAS)), np.nan)
    for label in range(n_classes):
        for a, matched in enumerate(match(truths, founds, label, IOUS, tuple(AREAS.values()))):
            if matched.objects:
                precision[:, :, label, a] = interpolated(matched.right, matched.ignored, matched.objects)
    return CocoAP(precision)


def match(
    truths: Sequence[GroundTruth],
    founds: Sequence[Predictions],
    label: int,
    ious: Floats,
    areas: Sequence[tuple[float, float]] = (AREAS["all"],),
    limit: int = MAX_DETECTIONS,
) -> list[Matched]:
    """One class's detections matched to its objects at each of `ious`, picture by picture, best score first.

    A detection takes the free object with the highest IoU; only if none is near enough one that is ignored (a crowd,
    or out of the area range). Detections out of the range that match nothing are ignored. One result a range.
    """
    low, high = np.array(areas, dtype=np.float64).T[:, :, None]
    floors = np.tile(np.minimum(ious, 1 - 1e-10), len(areas))  # every range at every IoU: rows of one matching
    scores: list[Floats] = [np.zeros(0)]
    right, ignored = ([np.zeros((len(floors), 0), dtype=np.bool_)] for _ in range(2))
    objects = np.zeros(len(areas), dtype=np.int64)
    for truth, found in zip(truths, founds, strict=True):
        mine, crowds = truth.labels == label, truth.ignored_boxes[truth.ignored_labels == label]
        chosen = np.flatnonzero(found.labels == label)
        chosen = chosen[np.argsort(-found.scores[chosen], kind="stable")][:limit]
        outside = (truth.areas[mine] < low) | (truth.areas[mine] > high)
        objects += (~outside).sum(axis=1)
        if not len(chosen):
            continue
        boxes, sizes = found.boxes[chosen], area(found.boxes[chosen])
        strays = np.repeat((sizes < low) | (sizes > high), len(ious), axis=0)
        hits = spared = np.zeros_like(strays)
        if len(crowds) or mine.any():
            crowd = np.arange(outside.shape[1] + len(crowds)) >= outside.shape[1]
            passed = np.repeat(np.pad(outside, ((0, 0), (0, len(crowds))), constant_values=True), len(ious), axis=0)
            overlap = iou_matrix(boxes, np.concatenate([truth.boxes[mine], crowds]), crowd)
            taken = take_turns(overlap, floors, second=passed, shared=crowd, ties="last")
            hits = taken != NOBODY
            spared = hits & np.take_along_axis(passed, taken, axis=1)
        scores.append(found.scores[chosen])
        right.append(hits & ~spared)
        ignored.append(spared | (~hits & strays))
    score = np.concatenate(scores)
    order = np.argsort(-score, kind="stable")
    rights, ignoreds = (np.split(np.concatenate(x, axis=1)[:, order], len(areas)) for x in (right, ignored))
    return [Matched(score[order], r, i, int(n)) for r, i, n in zip(rights, ignoreds, objects, strict=True)]


def interpolated(right: Flags, ignored: Flags, objects: int) -> Floats:
    """float64 [T, 101]: the best precision at each of `RECALLS` or beyond it; its mean is AP.

    Args:
        right, ignored: bool [T, D] as in `Matched`, best score first.
        objects: how many there were to find, at least 1.
    """
    hits = np.cumsum(right, axis=1, dtype=np.float64)
    wrong = np.cumsum(~right & ~ignored, axis=1, dtype=np.float64)
    recall = hits / objects
    precision = hits / (wrong + hits + np.spacing(1))
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    result = np.zeros((len(hits), len(RECALLS)))
    for t in range(len(hits)):
        at = np.searchsorted(recall[t], RECALLS, side="left")
        reached = at < recall.shape[1]
        result[t, reached] = best[t, at[reached]]
    return result
