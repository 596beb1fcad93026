"""Boundary F: do the edges of each class lie where they should? IoU hardly sees them, since they are few pixels.

Source: Csurka, Larlus and Perronnin 2013, "What is a good evaluation measure for semantic segmentation?", BMVC, sec. 2.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

NEAR = 0.0075  # of the picture's diagonal: the paper's tolerance


def tolerance(shape: tuple[int, ...]) -> int:
    """How many pixels apart edges of a picture (h, w) may be: 0.75 % of its diagonal, 1 at least."""
    return max(1, round(NEAR * math.hypot(shape[0], shape[1])))


def boundary_f(truth: NDArray[Any], told: NDArray[Any], classes: int) -> NDArray[np.float64]:
    """float64 [C], 0..1: the F measure of each class's edge; NaN for a class without an edge on either side.

    A pixel of the class with a neighbour of another one (4 neighbours) is its edge. Precision is the share of the told
    edge that lies within `tolerance` of the true one, recall the other way round. What is void in the truth has no edge
    and makes none; neither does the picture's border.

    Args:
        truth: int [h, w], -1 for void.
        told: int [h, w], -1 for none.
    """
    told = np.where(truth < 0, -1, told)
    reach = tolerance(truth.shape)
    edges = [_edges(side) for side in (truth, told)]
    labels = [side[ys, xs] for side, (ys, xs) in zip((truth, told), edges, strict=True)]
    found = np.full(classes, np.nan)
    for label in np.union1d(*labels).tolist():
        wanted, given = ((ys[own == label], xs[own == label]) for (ys, xs), own in zip(edges, labels, strict=True))
        if not len(wanted[0]) or not len(given[0]):
            found[label] = 0.0
            continue
        precision = _near(given, wanted, truth.shape, reach)
        recall = _near(wanted, given, truth.shape, reach)
        found[label] = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return found


def _edges(mask: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the pixels that have a neighbour of another class, both of a class."""
    edge = np.zeros(mask.shape, bool)
    for one, other in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        change = (mask[one] != mask[other]) & (mask[one] >= 0) & (mask[other] >= 0)
        edge[one] |= change
        edge[other] |= change
    rows, columns = np.nonzero(edge)
    return rows, columns


def _near(
    points: tuple[NDArray[np.intp], NDArray[np.intp]],
    others: tuple[NDArray[np.intp], NDArray[np.intp]],
    shape: tuple[int, ...],
    reach: int,
) -> float:
    """The share of `points` (rows, columns) that have one of `others` within `reach` pixels."""
    around = np.arange(-reach, reach + 1)
    dy, dx = np.nonzero(around[:, None] ** 2 + around**2 <= reach**2)  # offsets, reach at the centre
    width = shape[1] + 2 * reach
    covered = np.zeros((shape[0] + 2 * reach) * width, bool)
    covered[((others[0] * width + others[1])[:, None] + (dy * width + dx)).ravel()] = True
    return float(covered[(points[0] + reach) * width + points[1] + reach].mean())
