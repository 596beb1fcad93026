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
    recall, precision = (_near(own, other, reach) for own, other in ((edges[0], edges[1]), (edges[1], edges[0])))
    found = np.full(classes, np.nan)
    counts = [np.bincount(edge[edge >= 0], minlength=classes) for edge in edges]
    for label in np.flatnonzero(counts[0] + counts[1]).tolist():
        shares = [hits[label] / max(1, count[label]) for hits, count in zip((recall, precision), counts, strict=True)]
        found[label] = 2 * shares[0] * shares[1] / sum(shares) if sum(shares) else 0.0
    return found


def _edges(mask: NDArray[Any]) -> NDArray[Any]:
    """int [h, w]: the class of the pixels that have a neighbour of another class, both of a class; else -1."""
    edge = np.zeros(mask.shape, bool)
    for one, other in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        change = (mask[one] != mask[other]) & (mask[one] >= 0) & (mask[other] >= 0)
        edge[one] |= change
        edge[other] |= change
    return np.where(edge, mask, -1)


def _near(edges: NDArray[Any], others: NDArray[Any], reach: int) -> NDArray[np.int64]:
    """[C or less]: of each class how many of `edges` have one of `others` of their class within `reach` pixels."""
    padded = np.pad(others, reach, constant_values=-1)
    flat, width = padded.ravel(), padded.shape[1]
    rows, columns = np.nonzero(edges >= 0)
    left, labels = (rows + reach) * width + columns + reach, edges[rows, columns]
    found = np.zeros(int(max(edges.max(initial=0), others.max(initial=0))) + 1, np.int64)
    around = np.arange(-reach, reach + 1)
    apart = around[:, None] ** 2 + around**2
    dy, dx = np.nonzero(apart <= reach**2)
    for step in ((dy - reach) * width + dx - reach)[np.argsort(apart[dy, dx], kind="stable")].tolist():
        hit = flat[left + step] == labels  # the nearest places first: most edges are found at once and not asked again
        found += np.bincount(labels[hit], minlength=len(found))
        left, labels = left[~hit], labels[~hit]
    return found
