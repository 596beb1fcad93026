"""Histograms against numpy's own, ranges against brute force, and what an 8-bit grid promises."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgekit.config.schemes import SCHEMES, Grid
from edgekit.errors import DataError, UsageError
from edgekit.quantize.observers import HALF, METHODS, TAIL, Histogram, choose_range, squared_error

UNSIGNED, SIGNED, SYMMETRIC = Grid(0, 255, False), Grid(-128, 127, False), Grid(-128, 127, True)
GRIDS = [UNSIGNED, SIGNED, SYMMETRIC]
numbers = st.floats(-1e6, 1e6, width=32, allow_subnormal=False)


def seen(*parts: np.ndarray) -> Histogram:
    histogram = Histogram()
    for part in parts:
        histogram.add(part)
    return histogram


def normal(n: int = 50_000, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=n).astype(np.float32)


def test_counts_are_numpys() -> None:
    values = normal()
    histogram = seen(values)
    edges = np.linspace(-histogram.limit, histogram.limit, 2 * HALF + 1)
    want, _ = np.histogram(values, edges)
    # float32 near 4096 has steps of 1/2048: so many of the values may fall on the other side of an edge
    assert np.abs(histogram.counts - want).sum() <= 2 * len(values) / 1024
    assert histogram.total == len(values)
    assert (histogram.low, histogram.high) == (values.min(), values.max())


def test_growing_loses_nothing_and_moves_nothing() -> None:
    small, large = normal(seed=1), normal(seed=2) * 300
    grown, at_once = seen(small, large), seen(np.concatenate([small, large]))
    assert grown.limit == at_once.limit >= np.abs(large).max()
    assert grown.total == 2 * len(small)
    # bins of the small ones were merged in pairs: every count is where it would have been at once
    assert np.abs(grown.counts - at_once.counts).sum() <= 2 * len(small) / 1024


@settings(max_examples=50, deadline=None)
@given(st.lists(arrays(np.float32, 20, elements=numbers), min_size=1, max_size=5))
@example([np.array([2.6e-36, 0, 0, -1e-36], np.float32)])  # bins narrower than float32 can divide by
def test_every_value_is_counted_once_in_a_bin_that_holds_it(parts: list[np.ndarray]) -> None:
    values = np.concatenate(parts)
    histogram = seen(*parts)
    assert histogram.total == values.size
    assert histogram.zeros == (values == 0).sum()
    at, count = histogram.middles()
    width = histogram.limit / HALF
    for middle, n in zip(at, count, strict=True):
        near = np.abs(values.astype(np.float64) - middle) <= width * 1.01
        assert near.sum() >= n


def test_zeros_are_apart_and_do_not_weigh_on_a_bin() -> None:
    histogram = seen(np.array([0, 0, 0, 0.5, 1], np.float32))
    assert histogram.zeros == 3
    assert histogram.counts.sum() == 2
    only = seen(np.zeros(4, np.float32))
    assert (only.limit, only.low, only.high, only.total) == (0, 0, 0, 4)


def test_what_does_not_matter_moves_only_the_ends() -> None:
    values = np.array([-9, -1, 1, 2], np.float32)
    histogram = Histogram()
    histogram.add(values, values > -5)
    assert (histogram.low, histogram.high, histogram.total) == (-9, 2, 3)
    assert histogram.limit == 4
    histogram.add(values, np.zeros(4, np.bool_))
    assert histogram.total == 3


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_an_error(bad: float) -> None:
    with pytest.raises(DataError, match="NaN or infinite"):
        Histogram().add(np.array([1, bad], np.float32))


# --- ranges


def test_minmax_is_what_was_seen() -> None:
    values = normal()
    assert choose_range(seen(values), "minmax", UNSIGNED) == (values.min(), values.max())
    assert choose_range(seen(np.abs(values)), "minmax", UNSIGNED)[0] == 0


def test_percentile_is_numpys_to_a_bin() -> None:
    values = normal(200_000)
    histogram = seen(values)
    low, high = choose_range(histogram, "percentile", UNSIGNED)
    width = histogram.limit / HALF
    assert abs(low - np.quantile(values, TAIL)) < 2 * width
    assert abs(high - np.quantile(values, 1 - TAIL)) < 2 * width


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("kind", ["normal", "relu", "tail"])
def test_mse_is_as_good_as_brute_force(grid: Grid, kind: str) -> None:
    values = {
        "normal": normal(20_000),
        "relu": np.maximum(normal(20_000), 0),
        "tail": np.random.default_rng(3).standard_t(3, 20_000).astype(np.float32),
    }[kind]
    histogram = seen(values)
    found = squared_error(*histogram.middles(), grid, *choose_range(histogram, "mse", grid))
    factors = np.linspace(0.05, 1, 20)
    pairs = itertools.product(factors, factors) if kind != "relu" else zip(factors, factors, strict=True)
    best = min(squared_error(*histogram.middles(), grid, histogram.low * f, histogram.high * g) for f, g in pairs)
    assert found <= best * 1.02
    everything = squared_error(*histogram.middles(), grid, histogram.low, histogram.high)
    assert found <= everything
    if kind == "tail":
        assert found < 0.95 * everything


@pytest.mark.parametrize("grid", GRIDS)
def test_the_error_of_a_histogram_is_that_of_the_values(grid: Grid) -> None:
    values = normal(20_000)
    scale, zero = grid.parameters(-2.5, 2.0)
    steps = np.clip(np.rint(values / scale) + zero, grid.low, grid.high) - zero
    want = ((values - steps * scale) ** 2).sum()
    assert squared_error(*seen(values).middles(), grid, -2.5, 2.0) == pytest.approx(want, rel=0.02)


@pytest.mark.parametrize("grid", GRIDS)
def test_entropy_cuts_a_far_outlier_and_keeps_an_even_spread(grid: Grid) -> None:
    even = np.linspace(0.001, 1, 100_000, dtype=np.float32)
    assert choose_range(seen(even), "entropy", grid)[1] > 0.95
    outlier = np.append(np.abs(normal(100_000)), np.float32(40))
    assert choose_range(seen(outlier), "entropy", grid)[1] < 20


@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize("grid", GRIDS)
def test_every_method_holds_zero_and_stays_inside(method: str, grid: Grid) -> None:
    for values in (normal(5000), np.abs(normal(5000)) + 3, -np.abs(normal(5000)) - 3, np.zeros(9, np.float32)):
        histogram = seen(values)
        low, high = choose_range(histogram, method, grid)  # type: ignore[arg-type]
        assert min(histogram.low, 0) <= low <= 0 <= high <= max(histogram.high, 0)


def test_errors_of_ranges() -> None:
    with pytest.raises(UsageError, match="Unknown way"):
        choose_range(seen(normal(10)), "median", UNSIGNED)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="never seen"):
        choose_range(Histogram(), "mse", UNSIGNED)


# --- grids


@pytest.mark.parametrize("grid", [scheme.grid for scheme in SCHEMES.values()], ids=list(SCHEMES))
@given(low=numbers, high=numbers, at=st.floats(0, 1))
@settings(max_examples=100, deadline=None)
def test_a_round_trip_is_within_half_a_step(grid: Grid, low: float, high: float, at: float) -> None:
    low, high = min(low, high, 0.0), max(low, high, 0.0)
    scale, zero = grid.parameters(low, high)
    assert grid.low <= zero <= grid.high
    assert scale > 0
    value = low + at * (high - low)
    step = np.clip(np.rint(value / scale) + zero, grid.low, grid.high)
    # the zero point is rounded, so an end may lie up to half a step outside
    assert abs((step - zero) * scale - value) <= scale * 1.001
    if abs(value / scale + zero - np.clip(value / scale + zero, grid.low, grid.high)) == 0:
        assert abs((step - zero) * scale - value) <= scale / 2 * 1.001
    assert (np.rint(0 / scale) + zero - zero) * scale == 0


def test_zero_points() -> None:
    assert UNSIGNED.parameters(0, 255) == (1.0, 0)
    assert UNSIGNED.parameters(-127.5, 127.5) == (1.0, 128)
    assert SIGNED.parameters(0, 255) == (1.0, -128)
    assert SYMMETRIC.parameters(-50, 127) == (1.0, 0)
    assert SYMMETRIC.parameters(-254, 1) == (2.0, 0)
    assert UNSIGNED.parameters(0, 0) == (1.0, 0)
    assert UNSIGNED.parameters(3, 255) == (1.0, 0)


def test_of_a_large_array_some_are_counted_and_the_ends_are_those_of_all() -> None:
    values = np.random.default_rng(0).gamma(2, size=(64, 64, 64)).astype(np.float32)
    highest = values.max() + 1
    values[0, 0, 1] = highest  # not among those that are counted
    whole, parts, masked = Histogram(), Histogram(), Histogram()
    whole.add(values)
    parts.add(values, most=60_000)
    masked.add(values, values > 1, most=60_000)
    assert whole.total == values.size
    assert 45_000 < parts.total <= 60_000
    assert (parts.low, parts.high) == (whole.low, whole.high) == (masked.low, masked.high)
    assert parts.high == highest
    assert masked.total == pytest.approx((values > 1).mean() * parts.total, rel=0.02)
    for method in ("minmax", "percentile", "mse"):
        ends = [choose_range(one, method, UNSIGNED)[1] for one in (whole, parts)]
        assert ends[1] == pytest.approx(ends[0], rel=0.08)
