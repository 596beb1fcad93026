"""A classifier of candidates that is told only which pictures have the thing, not where.

Multiple instances (O. Maron and T. Lozano-Perez, NIPS 1998): each present picture has one right candidate at least, an
absent one has none. In turns the best candidate of each present picture is taken for right, and the direction is found
that tells those from all candidates of absent pictures: their means' difference, whitened by the absent ones'
covariance (B. Hariharan, J. Malik and D. Ramanan, ECCV 2012). What scores one half is found on absent pictures that
the direction was not learnt from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import DataError

TURNS = 8
_SHRINK = 0.1  # of the mean variance, added to each
_FALSE = 0.1  # share of absent pictures whose best candidate may score above one half

Rows = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Ranking:
    """Scores candidates by their descriptions.

    Attributes:
        direction: float64 [D]. Each of D numbers is less `mean` first.
        mean: float64 [D], of the candidates of absent pictures.
        half: the value along the direction that is scored 0.5; one more is 0.73.
    """

    direction: NDArray[np.float64]
    mean: NDArray[np.float64]
    half: float

    def scores(self, rows: Rows) -> NDArray[np.float64]:
        """float64 [N], 0 to 1, of [N, D]. The best candidate of one absent picture in ten has 0.5 or more."""
        along = (rows - self.mean) @ self.direction
        return np.asarray(1 / (1 + np.exp(-np.clip(along - self.half, -50, 50))))


def rank(present: Sequence[Rows], absent: Sequence[Rows], turns: int = TURNS) -> Ranking:
    """Learns from the candidates of present and absent pictures, [N, D] each.

    Raises:
        DataError: one side has no candidates.
    """
    right, wrong = [rows for rows in present if len(rows)], [rows for rows in absent if len(rows)]
    if not right or not wrong:
        raise DataError(
            "There is nothing to tell present from absent by.",
            got=f"candidates in {len(right)} present and {len(wrong)} absent pictures",
            expected="both kinds of pictures, some of each",
        )
    best: list[float] = []
    for fold in (0, 1) if min(len(right), len(wrong)) > 3 else ():
        direction, mean = _direction(right[fold::2], wrong[fold::2], turns)
        best += [float(((rows - mean) @ direction).max()) for rows in wrong[1 - fold :: 2]]
    direction, mean = _direction(right, wrong, turns)
    best = best or [float(((rows - mean) @ direction).max()) for rows in wrong]
    return Ranking(direction, mean, float(np.quantile(best, 1 - _FALSE)))


def _direction(right: list[Rows], wrong: list[Rows], turns: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Along which right candidates lie far from wrong ones, whose deviation along it is 1; and the wrong ones' mean."""
    background = np.concatenate(wrong).astype(np.float64)
    mean = background.mean(axis=0)
    covariance = np.cov(background - mean, rowvar=False) if len(background) > 1 else np.zeros((len(mean),) * 2)
    covariance += np.eye(len(mean)) * (_SHRINK * np.trace(covariance) / len(mean) + 1e-9)
    chosen = np.stack([rows.mean(axis=0) for rows in right])
    for _ in range(turns):
        direction = np.linalg.solve(covariance, chosen.mean(axis=0) - mean)
        new = np.stack([rows[np.argmax((rows - mean) @ direction)] for rows in right])
        if np.array_equal(new, chosen):
            break
        chosen = new
    return direction / max(float(((background - mean) @ direction).std()), 1e-12), mean
