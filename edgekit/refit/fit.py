"""One class's row of weights, moved as little as the wishes need."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

_STEPS = 200
_TINY = 1e-6  # of the mean square of the features, that keeps what no anchor sees
_SMALLEST = 1e-6  # of a step
_SETTLED = 1e-9  # of the cost, that a step gains
_FIELDS = ("features", "bound", "above", "weight")


@dataclass(frozen=True)
class Wishes:
    """Places whose logit shall be on one side of a bound.

    Attributes:
        features: float64 [M, F].
        bound: float64 [M], logits.
        above: bool [M]: at least the bound, or at most.
        weight: float64 [M], how much each counts.
    """

    features: NDArray[np.float64]
    bound: NDArray[np.float64]
    above: NDArray[np.bool_]
    weight: NDArray[np.float64]


def weighed(wishes: Wishes, factor: float) -> Wishes:
    """The same, each counting so many times as much."""
    return replace(wishes, weight=wishes.weight * factor)


def together(*parts: Wishes) -> Wishes:
    """All of several wishes; those that wish nothing may have no width."""
    some = [part for part in parts if len(part.bound)]
    if not some:
        return parts[0]
    return Wishes(*(np.concatenate([getattr(part, name) for part in some]) for name in _FIELDS))


def refit_row(
    weight: NDArray[np.floating],
    bias: float,
    wishes: Wishes,
    anchors: NDArray[np.float64],
) -> tuple[NDArray[np.float64], float]:
    """Weights and bias of one class with which the wishes hold and the anchors' logits hardly move.

    The smallest of  mean over anchors of (change of logit)^2 + sum over wishes of weight * (distance from its side)^2:
    least squares with one-sided terms, which has one solution; by Newton's steps, each shortened until it is one down
    (Mangasarian 2002, "A finite Newton method for classification", sec. 3).

    Args:
        weight: [F].
        bias: of the class.
        wishes: what shall be.
        anchors: float64 [A, F], places where all shall stay as it is.
    """
    start = np.append(np.asarray(weight, np.float64), bias)
    given = _with_one(wishes.features)
    kept = _with_one(anchors)
    hessian = kept.T @ kept / max(1, len(kept))
    hessian += np.eye(len(start)) * _TINY * max(1.0, float(np.trace(hessian)) / len(start))
    sign = np.where(wishes.above, 1.0, -1.0)
    counts = wishes.weight

    def short(move: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.maximum(0.0, sign * (wishes.bound - given @ (start + move)))

    def cost(move: NDArray[np.float64]) -> float:
        return float(move @ hessian @ move + counts @ short(move) ** 2)

    move = np.zeros_like(start)
    for _ in range(_STEPS):
        gap = short(move)
        rows, weights = given[gap > 0], counts[gap > 0]
        slope = hessian @ move - rows.T @ (weights * (sign * gap)[gap > 0])
        step = np.linalg.solve(hessian + rows.T @ (rows * weights[:, None]), -slope)
        before, size = cost(move), 1.0
        while size > _SMALLEST and cost(move + size * step) > before + 0.1 * size * float(slope @ step):
            size /= 2  # the set of wishes that do not hold changes under way
        move = move + size * step
        if before - cost(move) <= _SETTLED * max(before, 1e-12):
            break
    found = start + move
    return found[:-1], float(found[-1])


def _with_one(features: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([features, np.ones((len(features), 1))], axis=1)
