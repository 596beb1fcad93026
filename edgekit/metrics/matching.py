"""Which box goes with which: the greedy rules by which one set of boxes is matched to another. numpy only.

Each rule takes a matrix of worths, [D, G]: what row d gains by taking column g. That is the IoU mostly
(`edgekit.vision.boxes.iou_matrix`), and -infinity where the two must not be matched.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Flags = NDArray[np.bool_]
Columns = NDArray[np.intp]
NOBODY = -1


def take_turns(
    worth: NDArray[Any],
    floors: ArrayLike = (-np.inf,),
    *,
    second: Flags | None = None,
    shared: Flags | None = None,
    ties: Literal["first", "last"] = "first",
) -> Columns:
    """Row after row, each takes the free column that is worth most to it.

    COCO's rule (pycocotools/cocoeval.py, evaluateImg) with `second`, `shared` and ties="last"; the gate's and the
    confusion matrix's without.

    Args:
        worth: [D, G], rows in the order in which they choose; no NaN.
        floors: [T], what it must be worth at least; each floor is a matching of its own.
        second: bool [T, G], columns that a row takes only where no other is free and worth enough: COCO's ignored.
        shared: bool [G], columns that any number of rows may take: COCO's crowds.
        ties: which of several columns of the same worth.

    Returns:
        int [T, D], the column that each row took at each floor, or `NOBODY`.
    """
    floor = np.asarray(floors, dtype=np.float64)
    taken = np.full((len(floor), len(worth)), NOBODY, dtype=np.intp)
    if not worth.size:
        return taken
    free = np.ones((len(floor), worth.shape[1]), dtype=np.bool_)
    rows = np.arange(len(floor))
    later = None if second is None or not second.any() else second
    for d in np.flatnonzero(worth.max(axis=1) >= floor.min()):
        near = np.where(free & (worth[d] >= floor[:, None]), worth[d], -np.inf)
        wanted = near if later is None else np.where(later, -np.inf, near)
        best = _best(wanted, ties)
        got = wanted[rows, best] > -np.inf
        if later is not None and not got.all():
            best = np.where(got, best, _best(near, ties))
            got = near[rows, best] > -np.inf
        taken[got, d] = best[got]
        free[rows[got], best[got]] = False if shared is None else shared[best[got]]
    return taken


def take_best(worth: NDArray[Any]) -> Columns:
    """int [D]: the column that is worth most to each row, whoever else takes it, the first of several: VOC's rule.

    `NOBODY` where there are no columns. That a column counts once only is for the caller, who knows the rows' order.
    """
    return worth.argmax(axis=1) if worth.size else np.full(len(worth), NOBODY, dtype=np.intp)


def best_pairs(worth: NDArray[Any], floor: float) -> list[tuple[int, int]]:
    """(row, column) of the pair that is worth most, then of what is left, down to `floor`; each once in one pair.

    It is the same whichever side is called rows, so two models can be compared without one being the reference.
    Of pairs of the same worth the first row's, then the first column's.
    """
    pairs: list[tuple[int, int]] = []
    places = np.flatnonzero(worth >= floor)
    rows, columns = np.ones(worth.shape[0], dtype=np.bool_), np.ones(worth.shape[1], dtype=np.bool_)
    for place in places[np.argsort(-worth.reshape(-1)[places], kind="stable")]:
        i, j = divmod(int(place), worth.shape[1])
        if rows[i] and columns[j]:
            rows[i] = columns[j] = False
            pairs.append((i, j))
    return pairs


def _best(worth: NDArray[Any], ties: Literal["first", "last"]) -> Columns:
    """int [T] of [T, G]."""
    last = worth.shape[1] - 1
    return np.asarray(worth.argmax(axis=1) if ties == "first" else last - worth[:, ::-1].argmax(axis=1))
