"""One number that makes probabilities honest: logits are divided by it (Guo et al. 2017, sec. 4.2)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

_GOLDEN = (math.sqrt(5) - 1) / 2
# beyond these the validation data says "always right" or "no idea", and a larger set would not
LOWEST, HIGHEST = 0.05, 20.0


def nll(logits: ArrayLike, labels: ArrayLike, temperature: float = 1.0) -> float:
    """Mean negative log-likelihood (nats) of integer labels [N] under softmax(logits [N, C] / temperature)."""
    x = np.asarray(logits, dtype=np.float64) / temperature
    own: NDArray[np.int64] = np.asarray(labels, dtype=np.int64)
    top = x.max(axis=1)
    total = np.log(np.exp(x - top[:, None]).sum(axis=1)) + top
    return float((total - x[np.arange(len(x)), own]).mean())


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """The temperature with the smallest `nll`, within 0.05 to 20; to 1e-6 of its logarithm.

    Golden-section search: the nll is convex in 1 / T, hence has one valley over log T. It changes no answer, only
    how sure it sounds.
    """
    low, high = math.log(LOWEST), math.log(HIGHEST)
    a, b = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_a, at_b = nll(logits, labels, math.exp(a)), nll(logits, labels, math.exp(b))
    while high - low > 1e-6:
        if at_a <= at_b:
            high, b, at_b = b, a, at_a
            a = high - _GOLDEN * (high - low)
            at_a = nll(logits, labels, math.exp(a))
        else:
            low, a, at_a = a, b, at_b
            b = low + _GOLDEN * (high - low)
            at_b = nll(logits, labels, math.exp(b))
    return math.exp((low + high) / 2)
