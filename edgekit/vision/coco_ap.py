"""COCO's average precision, equal to pycocotools to rounding. numpy only: a board evaluates too.

Source: the COCO evaluation (cocodataset.org/#detection-eval) and its reference, pycocotools/cocoeval.py 2.0.11, whose
rules for ties, crowds and areas are followed one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.vision.boxes import area, iou_matrix
from edgekit.vision.truth import Found, Truth, check_pairs

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
        picture: int [D], which picture.
        match: int [T, D], the index of the object in its picture's `Truth`; -1 for none.
    """

    scores: Floats
    right: Flags
    ignored: Flags
    objects: int
    picture: NDArray[np.intp]
    match: NDArray[np.intp]


def coco_ap(truths: Sequence[Truth], founds: Sequence[Found], n_classes: int) -> CocoAP:
    """Average precision over IoU 0.50:0.05:0.95, 101 recalls, at most 100 detections a picture and class.

    Objects set aside are crowds: they count as no object, and any number of detections may lie in one unpunished.

    Raises:
        DataError: not one result a picture, or a label that is no class.
    """
    check_pairs(truths, founds, n_classes)
    precision = np.full((len(IOUS), len(RECALLS), n_classes, len(AREAS)), np.nan)
    for label in range(n_classes):
        for a, (low, high) in enumerate(AREAS.values()):
            matched = match(truths, founds, label, IOUS, (low, high))
            if matched.objects:
                precision[:, :, label, a] = _interpolated(matched)
    return CocoAP(precision)


def match(
    truths: Sequence[Truth],
    founds: Sequence[Found],
    label: int,
    ious: Floats,
    areas: tuple[float, float] = AREAS["all"],
    limit: int = MAX_DETECTIONS,
) -> Matched:
    """One class's detections matched to its objects at each of `ious`, picture by picture, best score first.

    A detection takes the free object with the highest IoU; only if none is near enough one that is ignored (a crowd,
    or out of `areas`). Detections out of `areas` that match nothing are ignored.
    """
    parts = []
    objects = 0
    for i, (truth, found) in enumerate(zip(truths, founds, strict=True)):
        mine, aside = np.flatnonzero(truth.labels == label), truth.aside_boxes[truth.aside_labels == label]
        chosen = np.flatnonzero(found.labels == label)
        chosen = chosen[np.argsort(-found.scores[chosen], kind="stable")][:limit]
        if not len(chosen) and not len(mine):
            continue
        outside = (truth.areas[mine] < areas[0]) | (truth.areas[mine] > areas[1])
        objects += int((~outside).sum())
        boxes = found.boxes[chosen]
        order = np.argsort(outside, kind="stable")  # what is ignored comes last
        crowd = np.arange(len(mine) + len(aside)) >= len(mine)
        all_boxes = np.concatenate([truth.boxes[mine][order], aside])
        ignored_objects = np.concatenate([outside[order], np.ones(len(aside), dtype=np.bool_)])
        taken = _matches(iou_matrix(boxes, all_boxes, crowd), ious, ignored_objects, crowd)
        hit = taken >= 0
        ignored = np.zeros_like(hit)
        own = np.full_like(taken, -1)
        if len(all_boxes):
            ignored = hit & ignored_objects[taken]
            own = np.where(hit, np.concatenate([mine[order], np.full(len(aside), -1)])[taken], -1)
        sizes = area(boxes)
        ignored |= ~hit & ((sizes < areas[0]) | (sizes > areas[1]))
        parts.append((found.scores[chosen], hit & ~ignored, ignored, np.full(len(chosen), i), own))
    if not parts:
        none = np.zeros((len(ious), 0), dtype=np.bool_)
        at = np.zeros(0, dtype=np.intp)
        return Matched(np.zeros(0), none, none, 0, at, np.zeros((len(ious), 0), dtype=np.intp))
    scores, right, ignored, picture, own = (np.concatenate(p, axis=-1) for p in zip(*parts, strict=True))
    order = np.argsort(-scores, kind="stable")
    return Matched(scores[order], right[:, order], ignored[:, order], objects, picture[order], own[:, order])


def _matches(overlap: Floats, ious: Floats, ignored: Flags, crowd: Flags) -> NDArray[np.intp]:
    """int [T, D]: the column of `overlap` [D, G] that each detection takes, or -1. Ignored columns come last."""
    found, objects = overlap.shape
    taken = np.full((len(ious), found), -1, dtype=np.intp)
    floor = np.minimum(ious, 1 - 1e-10)
    free = np.ones((len(ious), objects), dtype=np.bool_)
    counted = int((~ignored).sum())
    rows = np.arange(len(ious))
    for d in np.flatnonzero(overlap.max(axis=1, initial=-1.0) >= floor.min()):
        near = np.where(free & (overlap[d] >= floor[:, None]), overlap[d], -1.0)
        choice = np.full(len(ious), -1)
        for start, end in ((counted, objects), (0, counted)):  # counted objects go before ignored ones
            if end > start:
                part = near[:, start:end]
                last = end - 1 - np.argmax(part[:, ::-1], axis=1)  # of equal overlaps the last, as the reference
                choice = np.where(part.max(axis=1) >= 0, last, choice)
        got = choice >= 0
        taken[got, d] = choice[got]
        free[rows[got], choice[got]] = crowd[choice[got]]
    return taken


def _interpolated(matched: Matched) -> Floats:
    """float64 [T, 101]: the best precision at each recall or beyond it."""
    right = np.cumsum(matched.right, axis=1, dtype=np.float64)
    wrong = np.cumsum(~matched.right & ~matched.ignored, axis=1, dtype=np.float64)
    recall = right / matched.objects
    precision = right / (wrong + right + np.spacing(1))
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    result = np.zeros((len(right), len(RECALLS)))
    for t in range(len(right)):
        at = np.searchsorted(recall[t], RECALLS, side="left")
        reached = at < recall.shape[1]
        result[t, reached] = best[t, at[reached]]
    return result
