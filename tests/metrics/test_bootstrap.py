from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as reference

from edgekit.errors import UsageError
from edgekit.metrics.bootstrap import interval, of_blocks, of_share, picked

RNG = np.random.default_rng(0)


def test_the_limits_are_the_25th_of_a_thousand_from_either_end() -> None:
    counter = iter(np.random.default_rng(3).permutation(1000) + 1.0)
    found = interval(7.0, lambda _: float(next(counter)), 1000)
    assert (found.value, found.low, found.high) == (7.0, 25.0, 975.0)


def test_a_draw_without_a_figure_counts_neither_way() -> None:
    counter = iter(range(1, 81))
    found = interval(7.0, lambda _: v if (v := next(counter)) % 2 else None, 80)
    assert (found.low, found.high) == (1, 77)
    assert interval(7.0, lambda _: None, 80).low == -np.inf
    assert interval(7.0, lambda _: None, 80).high == np.inf


def test_the_same_seed_draws_the_same_and_another_does_not() -> None:
    values = RNG.normal(size=30)
    a, b, c = (interval(0, lambda rng: float(values[picked(rng, 30)].mean()), 100, seed=s) for s in (1, 1, 2))
    assert a == b != c


def test_a_draw_has_as_many_and_repeats_some() -> None:
    drawn = picked(np.random.default_rng(0), 50)
    assert len(drawn) == 50
    assert set(drawn.tolist()) < set(range(50))


def test_the_interval_of_a_mean_is_the_normal_one() -> None:
    values = RNG.normal(10, 2, 400)
    found = interval(float(values.mean()), lambda rng: float(values[picked(rng, 400)].mean()), 2000)
    low, high = reference.norm.interval(0.95, values.mean(), values.std() / 20)
    assert found.low == pytest.approx(low, abs=0.02)
    assert found.high == pytest.approx(high, abs=0.02)


def test_blocks_are_drawn_whole_and_timings_inside_each() -> None:
    seen: list[tuple[float, ...]] = []

    def figure(values: np.ndarray) -> float:
        seen.append(tuple(values))
        return float(values.mean())

    found = of_blocks([[1, 2, 3], [10, 20, 30, 40]], figure, 200)
    drawn, whole = seen[1:], seen[0]
    assert whole == (1, 2, 3, 10, 20, 30, 40)
    assert found.value == np.mean(whole)
    assert {len(d) for d in drawn} == {6, 7, 8}, "two blocks, whichever"
    assert any(set(d) < {1, 2, 3} for d in drawn), "timings inside a block are drawn too"
    for d in drawn:
        assert sum(v < 5 for v in d) in (0, 3, 6), "a block has as many timings as it had"


def test_no_blocks() -> None:
    for blocks in ([], [[1.0], []]):
        with pytest.raises(UsageError, match="nothing to resample"):
            of_blocks(blocks, np.median)  # type: ignore[arg-type]


def test_the_interval_of_a_share() -> None:
    one = of_share([1.0] * 180 + [0.0] * 20, [1.0] * 200)
    assert one is not None
    low, high = reference.binom.interval(0.95, 200, 0.9)
    assert (one.value, one.low, one.high) == (
        0.9,
        pytest.approx(low / 200, abs=0.01),
        pytest.approx(high / 200, abs=0.01),
    )


def test_a_share_of_nothing() -> None:
    assert of_share([0, 0], [0, 0]) is None
    sparse = of_share([1] + [0] * 9, [2] + [0] * 9)
    assert sparse is not None
    assert (sparse.value, sparse.low, sparse.high) == (0.5, 0.5, 0.5), "draws without the one that was seen say nothing"


def test_bootstrap_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    hits = 0
    for i in range(60):
        rng = np.random.default_rng(i)
        blocks = [10 + rng.normal(0, 0.3) + rng.normal(0, 1, 30) for _ in range(12)]
        found = of_blocks(blocks, lambda v: float(np.median(v)), 200, seed=i)
        hits += found.low <= 10 <= found.high
    assert 50 <= hits <= 60


def test_blocks_that_differ_widen_the_interval() -> None:
    flat = [RNG.normal(10, 1, 50) for _ in range(5)]
    apart = [RNG.normal(10 + 3 * i, 1, 50) for i in range(5)]
    a, b = (of_blocks(x, lambda v: float(np.median(v))) for x in (flat, apart))
    assert b.high - b.low > 4 * (a.high - a.low)
