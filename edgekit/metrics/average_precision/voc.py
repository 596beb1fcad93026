"""Pascal VOC's average precision at IoU 0.5: the 11 points of VOC2007, and the area under the curve since VOC2010.

Source: the VOC2007 development kit, VOCevaldet.m and sec. 3.4 of its documentation; Everingham et al. 2010, IJCV 88.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.metrics.ground_truth import GroundTruth, Predictions, check_pairs
from edgekit.metrics.matching import NOBODY, take_best
from edgekit.vision.boxes import iou_matrix

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Curve:
    """Precision and recall of one class as the threshold falls from detection to detection.

    Attributes:
        scores: float64 [D], falling; the threshold of each point.
        precision, recall: float64 [D], 0..1.
        right: int [D], objects found so far.
        objects: how many there were; recall is 0 where none.
    """

    scores: Floats
    precision: Floats
    recall: Floats
    right: NDArray[np.int64]
    objects: int

    def ap(self) -> float | None:
        """The area under the curve, made falling from the right; None without objects."""
        if not self.objects:
            return None
        recall = np.concatenate([[0.0], self.recall])
        best = np.maximum.accumulate(self.precision[::-1])[::-1]
        return float((np.diff(recall) * best).sum())

    def ap11(self) -> float | None:
        """The mean of the best precision at recall 0, 0.1, ... 1 or beyond; None without objects."""
        if not self.objects:
            return None
        # in whole numbers: 3 of 10 has reached a recall of 0.3, which floating point denies
        best = [float(self.precision[self.right * 10 >= k * self.objects].max(initial=0)) for k in range(11)]
        return float(np.mean(best))


def voc_curve(truths: Sequence[GroundTruth], founds: Sequence[Predictions], label: int, iou: float = 0.5) -> Curve:
    """The curve of one class.

    As in VOC, each detection goes to the object that it overlaps most, though another may be free; a second one on
    the same object is wrong. Objects set aside are VOC's difficult ones: not to be found, and what goes to one counts
    neither way. Every detection counts, not the best 100 of a picture only.
    """
    scores: list[Floats] = []
    went: list[tuple[int, int, bool]] = []  # picture, object or NOBODY, set aside
    objects = 0
    for i, (truth, found) in enumerate(zip(truths, founds, strict=True)):
        mine, ignored = truth.boxes[truth.labels == label], truth.ignored_boxes[truth.ignored_labels == label]
        objects += len(mine)
        chosen = found.labels == label
        scores.append(found.scores[chosen])
        overlap = iou_matrix(found.boxes[chosen], np.concatenate([mine, ignored]))
        for d, best in enumerate(take_best(overlap).tolist()):
            hit = best != NOBODY and bool(overlap[d, best] >= iou)
            went.append((i, best if hit else NOBODY, hit and best >= len(mine)))
    score = np.concatenate(scores) if scores else np.zeros(0)
    order = np.argsort(-score, kind="stable")
    used: set[tuple[int, int]] = set()
    kept, right = [], []
    for index in order.tolist():
        picture, target, ignored_hit = went[index]
        if ignored_hit:
            continue
        kept.append(index)
        right.append(target != NOBODY and (picture, target) not in used)
        used.add((picture, target))
    hits = np.cumsum(np.array(right, dtype=np.int64))
    n = np.arange(1, len(hits) + 1)
    return Curve(score[np.array(kept, dtype=np.intp)], hits / n, hits / max(objects, 1), hits, objects)


def voc_curves(
    truths: Sequence[GroundTruth], founds: Sequence[Predictions], n_classes: int, iou: float = 0.5
) -> tuple[Curve, ...]:
    """The curve of every class. Raises DataError: not one result a picture, or a label that is no class."""
    check_pairs(truths, founds, n_classes)
    return tuple(voc_curve(truths, founds, label, iou) for label in range(n_classes))
