"""The order in which pictures are labelled: where a model is unsure, what looks different, empty ones mixed in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgekit.labels.proposals.base import Proposal
from edgekit.vision.image import Frame

EMPTY_EVERY = 5  # each fifth picture is one in which nothing was proposed: what a model overlooks it does not ask about
DIFFERENT = 2.0  # what looking unlike all pictures before is worth, beside an uncertainty of 0 to 1
_SIDE = 8


def uncertainty(proposals: Sequence[Proposal], threshold: float = 0.3) -> float:
    """How unsure a picture's proposals are, 0 to 1: that of the one whose score is nearest to `threshold`; 0 for none.

    A score at the threshold counts 1, one of 0 or 1 counts 0, and between them it is linear: "least confident"
    sampling (Settles, Active Learning Literature Survey 2009, section 3.1), box by box and by the largest.
    """
    return max((_unsure(one.score, threshold) for one in proposals), default=0.0)


def appearance(frame: Frame) -> NDArray[np.float32]:
    """float32 [192]: the picture in 8 x 8 places, BGR, 0 to 1. Two are compared by their root mean square distance.

    Args:
        frame: uint8 [h, w, 3]; a reduced one does.
    """
    import cv2

    small = cv2.resize(frame, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32).reshape(-1) / np.float32(255)


def most_useful(unsure: ArrayLike, looks: ArrayLike, empty: ArrayLike, done: ArrayLike | None = None) -> list[int]:
    """The indices of the pictures to label, the most useful first.

    One after another the picture is taken whose uncertainty plus `DIFFERENT` times its distance from the nearest
    taken or finished one is largest (farthest-first, as in Sener and Savarese 2018, with the uncertainty added). Each
    `EMPTY_EVERY`-th is the most different of those without proposals. It costs N * N * D products.

    Args:
        unsure: [N], 0 to 1.
        looks: [N, D], `appearance` of each.
        empty: bool [N], where nothing was proposed.
        done: bool [N], pictures that are labelled already: they are left out, and what looks like them comes later.
    """
    worth, seen = np.asarray(unsure, np.float64), np.asarray(looks, np.float32)
    nothing = np.asarray(empty, np.bool_)
    left = np.ones(len(worth), np.bool_) if done is None else ~np.asarray(done, np.bool_)
    far = np.full(len(worth), 1.0)
    for i in np.flatnonzero(~left):
        far = np.minimum(far, _distances(seen, int(i)))
    order: list[int] = []
    while left.any():
        wanted = left & (nothing if len(order) % EMPTY_EVERY == EMPTY_EVERY - 1 else ~nothing)
        among = np.flatnonzero(wanted if wanted.any() else left)
        best = int(among[np.argmax((worth + DIFFERENT * far)[among])])
        order.append(best)
        left[best] = False
        far = np.minimum(far, _distances(seen, best))
    return order


def _unsure(score: float, threshold: float) -> float:
    side = threshold if score < threshold else 1 - threshold
    return 1 - abs(score - threshold) / side if side > 0 else float(score == threshold)


def _distances(looks: NDArray[np.float32], index: int) -> NDArray[np.float64]:
    """Root mean square distances, float64 [N], by way of the product: a tenth of the time of the differences."""
    squares = np.einsum("nd,nd->n", looks, looks, dtype=np.float64)
    apart = squares + squares[index] - 2.0 * (looks @ looks[index])
    return np.asarray(np.sqrt(np.clip(apart, 0, None) / looks.shape[1]))
