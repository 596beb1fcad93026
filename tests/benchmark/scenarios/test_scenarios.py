"""MLPerf's edge scenarios: the estimate against scipy and the rules' own numbers, and runs by a clock that is told."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import numpy as np
import pytest
from scipy import stats

from edgekit.benchmark.run import Settings
from edgekit.benchmark.scenarios.rules import allowed_above, estimate, shortcomings
from edgekit.benchmark.scenarios.run import run_scenario, run_scenarios, within_bound
from edgekit.benchmark.schema import Case
from edgekit.benchmark.subject import Subject
from edgekit.data import Sample
from edgekit.predictor import Predictor
from tests.benchmark.conftest import made_report, made_row, noisy


@pytest.mark.parametrize(("queries", "percent"), [(64, 90), (100, 90), (1024, 90), (24_576, 90), (662, 99), (5000, 99)])
def test_as_many_may_be_slower_as_the_binomial_says(queries: int, percent: float) -> None:
    above = allowed_above(queries, percent)
    slow = stats.binom(queries, 1 - percent / 100)
    assert slow.cdf(above) <= 0.01 < slow.cdf(above + 1)


def test_64_queries_are_the_first_that_give_p90_and_662_p99() -> None:
    assert [allowed_above(n, 90) for n in (1, 43, 63, 64)] == [-1, -1, 0, 1]
    assert [allowed_above(n, 99) for n in (661, 662)] == [0, 1]
    assert estimate(list(range(63)), 90) == (None, None)
    assert estimate(list(range(64)), 90) == (63, 0)
    assert estimate(list(range(100))[::-1], 90) == (97, 2)  # LoadGen too leaves out two of a hundred


def test_the_estimate_is_above_the_percentile_and_near_it_for_many() -> None:
    latencies = np.random.default_rng(0).lognormal(2, 0.3, 20_000).tolist()
    found, _ = estimate(latencies, 90)
    assert found is not None
    assert np.percentile(latencies, 90) < found < 1.02 * np.percentile(latencies, 90)


def test_what_the_rules_ask_for_is_said() -> None:
    assert shortcomings("SingleStream", 9000, 600, 3.0, 50) == []
    assert shortcomings("SingleStream", 60, 6.04, None, 50) == [
        "6.0 s of the 600 s that the rules ask for",
        "too few queries for the estimate of p90",
    ]
    assert shortcomings("Offline", 24_000, 700, None, 50_000) == ["24000 of at least 24576 samples"]
    assert shortcomings("Offline", 300, 700, None, 250) == []  # a small data set once through


@pytest.fixture
def subject(sleeping: Callable[..., Predictor]) -> Callable[..., Subject]:
    rng = np.random.default_rng(0)
    pictures = [Sample(None, rng.integers(0, 256, (16, 16, 3), dtype=np.uint8), None, str(i)) for i in range(5)]
    return lambda batch=1, fixed="N": Subject(sleeping(0, fixed), pictures, batch)


def ticking(step: float) -> Callable[[], float]:
    ticks = count()
    return lambda: next(ticks) * step


@pytest.mark.parametrize(
    ("name", "batch", "fixed", "samples", "runs"),
    [
        ("SingleStream", 1, "N", 100, 1), ("MultiStream", 1, "N", 800, 1), ("MultiStream", 1, 1, 800, 8),
        ("Offline", 4, "N", 400, 1),
    ],
)  # fmt: skip
def test_a_scenario_sends_what_it_says(
    subject: Callable[..., Subject], name: Any, batch: int, fixed: Any, samples: int, runs: int
) -> None:
    measured = subject(batch, fixed)
    found = run_scenario(name, measured, 1.0, 250, clock=ticking(0.01))
    assert (found.samples, found.seconds) == (samples, 1.0)
    assert found.throughput == pytest.approx(samples)
    assert measured.predictor.session.runs == runs * 103  # type: ignore[attr-defined] - 3 to take up
    if name == "SingleStream":
        assert (found.queries, found.percentile, found.discarded) == (100, 90, 2)
        assert found.latency_ms == pytest.approx(10)
        assert "p90 10.00 ms" in found.text
        assert "1.0 s of the 600 s" in found.text
    if name == "MultiStream":
        assert found.latency_ms is None, "100 queries give no p99"
        assert "no p99 of 100 queries" in found.text
    if name == "Offline":
        assert (found.queries, found.percentile, found.latency_ms) == (1, None, None)


def test_only_cases_that_fit_run(subject: Callable[..., Subject]) -> None:
    asked = Settings(scenarios=("SingleStream", "Offline"), scenario_seconds=0.02)
    said: list[str] = []

    def names(batch: int, streams: int) -> list[str]:
        found = run_scenarios(Case(model="m", batch=batch), [subject(batch)] * streams, asked, 9, said.append)
        return [one.name for one in found]

    assert [names(1, 1), names(4, 1), names(1, 2)] == [["SingleStream", "Offline"], ["Offline"], []]
    assert "SingleStream of m · onnxruntime, 0.02 s" in said


def test_settings_have_scenarios_only_where_they_are_asked() -> None:
    assert not {"scenarios", "scenario_seconds", "latency_bound"} & set(Settings().to_dict())
    assert Settings(latency_bound=20).to_dict()["latency_bound"] == 20


def test_the_highest_throughput_within_a_bound() -> None:
    quick, slow = made_row("a", noisy(0, 10)), made_row("a", noisy(1, 30))
    quick.name, slow.name = "one", "many"
    assert slow.timing is not None
    slow.timing.throughput = 1e6
    (found,) = within_bound([quick, slow], 25)
    assert (found.row, found.model, found.runtime) == ("one", "a.onnx", "onnxruntime")
    (found,) = within_bound([quick, slow], 100)
    assert (found.row, found.throughput) == ("many", 1e6)
    (found,) = within_bound([quick, slow], 1)
    assert (found.row, found.throughput) == (None, None)
    assert "none of what was measured" in found.text
    assert within_bound([quick], None) == []
    assert made_report(quick).bounded == []
