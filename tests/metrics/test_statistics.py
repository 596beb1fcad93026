from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats as reference

from edgekit.errors import UsageError
from edgekit.metrics.statistics import mcnemar, paired_ratio, poisson, stability, summary, t_quantile

RNG = np.random.default_rng(0)


def test_summary_leaves_nothing_out() -> None:
    values = [*range(1, 1000), 1e6]
    found = summary(values)
    assert (found.n, found.min, found.max) == (1000, 1, 1e6)
    assert found.mean == pytest.approx(np.mean(values))
    assert found.stdev == pytest.approx(np.std(values, ddof=1))
    assert (found.p50, found.p90, found.p95, found.p99, found.p999) == (500, 900, 950, 990, 999)


def test_percentiles_are_measured_values() -> None:
    assert summary([1, 10]).p50 == 1
    assert summary(range(1, 101)).p99 == 99


def test_a_summary_of_33_has_no_p99_and_says_so_in_json() -> None:
    found = summary(range(33))
    assert (found.p50, found.p90, found.p95, found.p99, found.p999, found.max) == (16, 29, 31, None, None, 32)
    assert '"p99": null' in json.dumps(found.to_dict())
    assert summary([3]).stdev == 0


@pytest.mark.parametrize("values", [[], [1, float("nan")], [float("inf")]])
def test_no_timings(values: list[float]) -> None:
    with pytest.raises(UsageError, match="finite numbers"):
        summary(values)


@pytest.mark.parametrize(("lost", "won"), [(0, 0), (9, 1), (1, 9), (30, 21), (5, 5), (1, 0)])
def test_mcnemar_is_the_exact_binomial_test(lost: int, won: int) -> None:
    a = np.array([True] * lost + [False] * won + [True] * 100)
    b = np.array([False] * lost + [True] * won + [True] * 100)
    found = mcnemar(a, b)
    wanted = reference.binomtest(won, lost + won, 0.5).pvalue if lost + won else 1.0
    assert found.p_value == pytest.approx(wanted)
    assert (found.only_reference, found.only_candidate) == (lost, won)
    assert found.difference.low <= (won - lost) / len(a) <= found.difference.high
    assert found.difference.value == pytest.approx((won - lost) / len(a))
    assert (found.difference.high < 0) == (found.verdict == "worse")


def test_mcnemar_wants_the_same_pictures() -> None:
    with pytest.raises(UsageError, match="same pictures"):
        mcnemar([True], [True, False])


def test_paired_ratio_does_not_see_what_meets_both() -> None:
    mood = RNG.lognormal(0, 0.5, 8)
    found = paired_ratio(list(20 * mood * RNG.lognormal(0, 0.01, 8)), list(10 * mood))
    assert found.value == pytest.approx(2, rel=0.02)
    assert found.high - found.low < 0.1


def test_paired_ratio_interval_is_students() -> None:
    a, b = [1.0, 1.2, 1.4], [1.0, 1.0, 1.0]
    logs = np.log(a)
    half = reference.t.ppf(0.975, 2) * logs.std(ddof=1) / np.sqrt(3)
    assert paired_ratio(a, b).high == pytest.approx(np.exp(logs.mean() + half), rel=1e-3)


@pytest.mark.parametrize("freedom", [1, 2, 5, 10, 11, 20, 100])
def test_t_quantile(freedom: int) -> None:
    assert t_quantile(freedom) == pytest.approx(reference.t.ppf(0.975, freedom), rel=0.01)


def test_a_calm_machine_is_stable() -> None:
    blocks = [RNG.normal(10, 0.2, 80) for _ in range(5)]
    assert stability(blocks, range(5)).stable


def test_throttling_is_said_with_the_time() -> None:
    blocks = [RNG.normal(level, 0.1, 80) for level in (10, 10, 10, 13, 13, 13)]
    found = stability(blocks, [0, 10, 20, 30, 40, 50])
    assert not found.stable
    assert any("slowed down by 30% after 30 s" in line for line in found.findings)


def test_blocks_that_differ_are_said() -> None:
    blocks = [RNG.normal(level, 0.1, 80) for level in (10, 11.8, 10)]
    assert any("blocks differ by 18%" in line for line in stability(blocks, range(3)).findings)


def test_stalls_are_said() -> None:
    blocks = [np.where(RNG.random(200) < 0.1, 40, 10.0) for _ in range(5)]
    assert any("more than twice the median" in line for line in stability(blocks, range(5)).findings)


def test_one_block_proves_nothing() -> None:
    assert not stability([[1.0, 1.0]], [0]).stable


def test_two_blocks_can_agree() -> None:
    assert stability([[10.0, 10.1]] * 2, [0, 10]).stable


def test_one_block_at_the_beginning_is_no_level() -> None:
    """It differs, which is said; that the machine slowed down then takes two blocks before."""
    (finding,) = stability([[level] * 9 for level in (10.0, 13.0, 13.0, 13.0, 13.0)], [0, 10, 20, 30, 40]).findings
    assert finding.startswith("5 blocks differ by 30%")


@pytest.mark.parametrize(
    ("levels", "said"),
    [
        ((10.0, 10.0, 13.0, 13.0, 20.0, 20.0), "slowed down by 74% after 40 s"),
        ((10.0, 10.0, 20.0, 20.0, 21.0, 21.0), "slowed down by 105% after 20 s"),
        ((20.0, 20.0, 10.0, 10.0, 9.0, 9.0), "sped up by 52% after 20 s"),
    ],
)
def test_of_several_steps_the_largest_is_said(levels: tuple[float, ...], said: str) -> None:
    found = stability([[level] * 9 for level in levels], [10.0 * i for i in range(6)])
    assert any(said in line for line in found.findings), found.findings


@pytest.mark.parametrize("count", [0, 1, 2, 7, 40, 3000])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_a_count_has_garwoods_interval(count: int, confidence: float) -> None:
    """Its limits are quantiles of chi square (Garwood 1936)."""
    alpha = 1 - confidence
    low = reference.chi2.ppf(alpha / 2, 2 * count) / 2 if count else 0.0
    assert poisson(count, confidence) == pytest.approx((low, reference.chi2.ppf(1 - alpha / 2, 2 * count + 2) / 2))


def test_what_is_no_count_is_refused() -> None:
    for count, confidence in ((-1, 0.95), (3, 1.0)):
        with pytest.raises(UsageError):
            poisson(count, confidence)
