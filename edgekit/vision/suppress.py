"""Greedy suppression of duplicates among boxes, as everybody knows it. numpy only."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgekit.vision.boxes import iou_matrix
from edgekit.vision.spec import Suppression

__all__ = ["ROUNDS", "Suppression", "suppress"]

# Of suppression in a graph, which has no loop: so long a chain of boxes, each suppressed by the one before, is resolved
# as greedy suppression does. An even number never loses a box that greedy suppression keeps.
ROUNDS = 24


def suppress(boxes: ArrayLike, scores: ArrayLike, labels: ArrayLike, how: Suppression) -> NDArray[np.bool_]:
    """Which boxes are kept: bool [K]. The best one is, what overlaps it too much is not, and so on with what is left.

    Args:
        boxes: [K, 4], x1 y1 x2 y2.
        scores: [K]; of equal ones the first comes first.
        labels: [K].
        how: an overlap of exactly `how.iou` is not too much.
    """
    score, label = np.asarray(scores), np.asarray(labels)
    kept = np.zeros(len(score), dtype=np.bool_)
    left = np.ones(len(score), dtype=np.bool_)
    overlaps = iou_matrix(boxes, boxes)
    for best in np.argsort(-score, kind="stable"):
        if not left[best]:
            continue
        kept[best] = True
        gone = overlaps[best] > how.iou
        if not how.across_classes:
            gone &= label == label[best]
        left &= ~gone
        left[best] = False
    return kept
