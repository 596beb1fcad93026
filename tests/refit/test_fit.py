"""A row of weights moves as little as the wishes need, and to the one smallest cost."""

import numpy as np
import pytest

from edgekit.refit.fit import Wishes, refit_row, together, weighed

RANDOM = np.random.default_rng(0)
ANCHORS = RANDOM.normal(size=(400, 6))
WEIGHT, BIAS = RANDOM.normal(size=6), -0.5


def wish(features: np.ndarray, bound: float, above: bool, weight: float = 1.0) -> Wishes:
    n = len(features)
    return Wishes(features, np.full(n, bound), np.full(n, above), np.full(n, weight))


def cost(weight: np.ndarray, bias: float, wishes: Wishes) -> float:
    """Written out once more, slowly."""
    moved = ((ANCHORS @ (weight - WEIGHT) + bias - BIAS) ** 2).mean()
    for x, bound, above, count in zip(wishes.features, wishes.bound, wishes.above, wishes.weight, strict=True):
        short = bound - (x @ weight + bias) if above else x @ weight + bias - bound
        moved += count * max(0.0, short) ** 2
    return float(moved)


def test_wishes_that_hold_move_nothing() -> None:
    far = ANCHORS[:3]
    bound = float((far @ WEIGHT + BIAS).min()) - 1
    weight, bias = refit_row(WEIGHT, BIAS, wish(far, bound, above=True), ANCHORS)
    assert weight == pytest.approx(WEIGHT)
    assert bias == pytest.approx(BIAS)


def test_a_strong_wish_is_met_and_the_others_hardly_move() -> None:
    odd = np.full((1, 6), 4.0)  # far from the anchors: little else moves with it
    weight, bias = refit_row(WEIGHT, BIAS, wish(odd, 3.0, above=True, weight=1000), ANCHORS)
    assert float(odd[0] @ weight + bias) == pytest.approx(3.0, abs=0.05)
    before, after = ANCHORS @ WEIGHT + BIAS, ANCHORS @ weight + bias
    assert 3 - float(odd[0] @ WEIGHT + BIAS) > 8 > 8 * float(np.abs(after - before).mean())


@pytest.mark.parametrize("seed", range(8))
def test_no_small_step_from_the_answer_costs_less(seed: int) -> None:
    random = np.random.default_rng(seed)
    wishes = together(
        wish(random.normal(size=(5, 6)), 2.0, above=True, weight=3.0),
        wish(random.normal(size=(7, 6)), -2.0, above=False, weight=0.5),
    )
    weight, bias = refit_row(WEIGHT, BIAS, wishes, ANCHORS)
    best = cost(weight, bias, wishes)
    assert best < cost(WEIGHT, BIAS, wishes)
    for _ in range(200):
        step = random.normal(size=7) * 10.0 ** random.uniform(-4, 0)
        assert cost(weight + step[:6], bias + step[6], wishes) > best - 1e-5


def test_weights_count() -> None:
    odd = wish(np.full((1, 6), 4.0), 3.0, above=True)
    gaps = []
    for factor in (0.01, 1.0, 100.0):
        weight, bias = refit_row(WEIGHT, BIAS, weighed(odd, factor), ANCHORS)
        gaps.append(3 - float(odd.features[0] @ weight + bias))
    assert gaps[0] > gaps[1] > gaps[2] > 0


def test_nothing_wished_beside_something() -> None:
    none = Wishes(np.zeros((0, 0)), np.zeros(0), np.zeros(0, bool), np.zeros(0))
    some = wish(np.ones((2, 6)), 0.0, above=True)
    assert together(none, some).features.shape == (2, 6)
    assert len(together(none).bound) == 0
