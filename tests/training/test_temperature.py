from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from edgekit.training.temperature import HIGHEST, LOWEST, fit_temperature, nll


def case(scale: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are `scale` times too sure: labels are drawn from softmax(logits / scale)."""
    rng = np.random.default_rng(seed)
    honest = rng.normal(size=(4000, 5)) * 2
    p = np.exp(honest) / np.exp(honest).sum(1, keepdims=True)
    labels = (p.cumsum(1) > rng.random((4000, 1))).argmax(1)
    return honest * scale, labels


@pytest.mark.parametrize("scale", [0.4, 1.0, 3.0])
def test_it_finds_the_scale_and_improves_the_likelihood(scale: float) -> None:
    logits, labels = case(scale)
    found = fit_temperature(logits, labels)
    assert found == pytest.approx(scale, rel=0.08)
    assert nll(logits, labels, found) <= nll(logits, labels)
    if scale != 1.0:
        assert nll(logits, labels, found) < nll(logits, labels) - 0.05


def test_it_agrees_with_scipy() -> None:
    logits, labels = case(2.2, seed=3)
    best = minimize_scalar(lambda t: nll(logits, labels, t), bounds=(LOWEST, HIGHEST), method="bounded")
    assert fit_temperature(logits, labels) == pytest.approx(best.x, rel=1e-3)


def test_all_right_and_all_wrong_stay_finite() -> None:
    logits = np.eye(3)[[0, 1, 2]] * 4
    assert fit_temperature(logits, [0, 1, 2]) == pytest.approx(LOWEST, rel=1e-3)
    assert fit_temperature(logits, [1, 2, 0]) == pytest.approx(HIGHEST, rel=1e-3)


def test_nll_is_the_cross_entropy() -> None:
    assert nll([[0.0, 0.0]], [1]) == pytest.approx(np.log(2))
    assert nll([[1000.0, 0.0]], [1]) == pytest.approx(1000.0)
