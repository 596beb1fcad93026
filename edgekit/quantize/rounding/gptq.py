"""GPTQ (Frantar et al. 2022, arXiv 2210.17323, algorithm 1) on the moments of a layer's inputs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edgekit.quantize.rounding.moments import Floats, InputStatistics
from edgekit.quantize.weights import PEAK

DAMPING = 0.01  # of the mean second moment, as in the source
BLOCK = 128  # columns whose errors are carried on together


def round_rows(rows: Floats, scales: Floats, moments: InputStatistics) -> NDArray[np.int8]:
    """int8 [C, K] of weights [C, K] and scales [C]: the steps whose outputs are nearest on inputs of these moments.

    The moments are not centred, although the bias takes up the mean error: on a ResNet-18 that changed nothing.

    With H = U U^T, U upper triangular, input k is rounded after the errors of those before it were added through
    column k of U / diag(U), which is GPTQ without its inverse (Chee et al. 2023, arXiv 2307.13304, theorem 6).
    """
    second = moments.mean_second()
    diagonal = second.diagonal().copy()
    second[np.diag_indices_from(second)] += DAMPING * float(diagonal.mean()) + 1e-12
    order = np.argsort(-diagonal, kind="stable")  # the inputs that matter most are rounded while all others can pay
    backwards = order[::-1]
    lower = np.linalg.cholesky(second[np.ix_(backwards, backwards)])
    upper = lower[::-1, ::-1]
    feedback = upper / upper.diagonal()
    asked = rows[:, order]
    steps = np.empty(asked.shape, np.int8)
    errors = np.zeros(asked.shape)
    for start in range(0, asked.shape[1], BLOCK):
        stop = min(start + BLOCK, asked.shape[1])
        pull = errors[:, :start] @ feedback[:start, start:stop]
        for i in range(start, stop):
            target = asked[:, i] + pull[:, i - start] + errors[:, start:i] @ feedback[start:i, i]
            steps[:, i] = np.clip(np.rint(target / scales), -PEAK, PEAK)
            errors[:, i] = asked[:, i] - steps[:, i] * scales
    result = np.empty_like(steps)
    result[:, order] = steps
    return result


def left_over(rows: Floats, steps: NDArray[np.int8], scales: Floats, moments: InputStatistics) -> Floats:
    """float64 [C]: what the rounded layer lacks on average, to be added to its bias."""
    return np.asarray((rows - steps * scales[:, None]) @ moments.mean)


class Rounder:
    """Rounds the layers of one graph on the moments of its own inputs; a layer with the same scales only once.

    Args:
        moments: of each layer that is rounded so; the others are rounded to the nearest.
    """

    def __init__(self, moments: Mapping[str, InputStatistics]) -> None:
        self.moments = moments
        self._done: dict[tuple[str, bytes], tuple[NDArray[np.int8], Floats]] = {}

    def __call__(
        self, name: str, weight: NDArray[np.float32], scales: Floats, axis: int
    ) -> tuple[NDArray[np.int8], Floats] | None:
        """Steps in the weight's shape and what to add to the bias, float64 [C]; None for a layer without moments."""
        moments = self.moments.get(name)
        if moments is None:
            return None
        key = (name, scales.tobytes())
        if key not in self._done:
            turned = np.moveaxis(weight, axis, 0)
            rows = turned.reshape(len(turned), -1).astype(np.float64)
            steps, lacking = _by_groups(rows, scales, moments.groups())
            placed = np.moveaxis(steps.reshape(turned.shape), 0, axis)
            self._done[key] = (np.ascontiguousarray(placed), lacking)
        return self._done[key]


def _by_groups(rows: Floats, scales: Floats, groups: list[InputStatistics]) -> tuple[NDArray[np.int8], Floats]:
    """Steps [C, K] and what is left over [C]: each group has its own inputs and C / G outputs."""
    parts = list(zip(np.split(rows, len(groups)), np.split(scales, len(groups)), groups, strict=True))
    steps = [round_rows(*part) for part in parts]
    lacking = [left_over(part, found, scale, seen) for found, (part, scale, seen) in zip(steps, parts, strict=True)]
    return np.concatenate(steps), np.concatenate(lacking)
