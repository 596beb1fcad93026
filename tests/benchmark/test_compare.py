from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgekit.benchmark.report.compare import DEFAULT_LIMITS, compare, parse_limits
from edgekit.benchmark.report_file import read_report, write_report
from edgekit.benchmark.schema import Failure
from edgekit.errors import InputError, UsageError
from tests.benchmark.conftest import made_report, made_row, noisy

LIMITS = parse_limits(DEFAULT_LIMITS)


def test_a_model_that_became_slower_is_caught() -> None:
    base = made_report(made_row("a", noisy(0)))
    now = made_report(made_row("a", noisy(1, 12.0)))
    found = compare(base, now, LIMITS)
    assert len(found.regressions) == 2  # p50 and p95
    assert "p50" in found.regressions[0]
    assert compare(now, base, LIMITS).regressions == ()  # faster is none


def test_a_model_that_became_a_point_worse_is_caught() -> None:
    base = made_report(made_row("a", noisy(0), hits=180))
    assert compare(base, made_report(made_row("a", noisy(1), hits=179)), LIMITS).regressions == ()
    found = compare(base, made_report(made_row("a", noisy(1), hits=178)), LIMITS)
    assert [("top1" in line) for line in found.regressions] == [True]
    assert found.changes[-1].change.value == pytest.approx(-1.0)


def test_the_same_model_raises_no_alarm() -> None:
    base = made_report(made_row("a", noisy(0, noise=0.08)))
    again = [made_report(made_row("a", noisy(i, noise=0.08))) for i in range(1, 21)]
    alarms = [bool(compare(base, now, LIMITS).regressions) for now in again]
    assert sum(alarms) <= 1


def test_a_machine_that_became_slower_is_no_regression() -> None:
    base = made_report(made_row("a", noisy(0), paces=[5.0, 5.1, 5.0, 4.9, 5.0]))
    busy = [block * 1.5 for block in noisy(1)]
    now = made_report(made_row("a", busy, paces=[7.5, 7.6, 7.4, 7.5, 7.5]))
    found = compare(base, now, LIMITS)
    assert found.regressions == ()
    assert "by the clock +" in str(found.changes[0])
    slower = made_report(made_row("a", [b * 1.25 for b in busy], paces=[7.5, 7.6, 7.4, 7.5, 7.5]))
    assert compare(base, slower, LIMITS).regressions


def test_noise_beyond_the_limit_is_not_sure() -> None:
    rng = np.random.default_rng(3)
    wild = [12 * rng.lognormal(0, 0.5) * rng.lognormal(0, 0.1, 60) for _ in range(5)]
    found = compare(made_report(made_row("a", noisy(0, noise=0.5))), made_report(made_row("a", wild)), LIMITS)
    verdicts = {c.limit.name: c.verdict for c in found.changes}
    assert verdicts["p50"] == "not sure" or abs(found.changes[0].change.value) < 5
    assert found.regressions == ()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"environment": {"cpu": "another"}}, "device: cpu"),
        ({"environment": {"versions": {"onnxruntime": "1.0"}}}, "version: onnxruntime"),
        ({"settings": {"timed": 8}}, "setting: timed"),
        ({"complete": False}, "interrupted"),
    ],
)
def test_other_conditions_are_refused_unless_told(change: dict[str, Any], word: str) -> None:
    base, now = made_report(made_row("a", noisy(0))), made_report(made_row("a", noisy(1)))
    for key, value in change.items():
        setattr(now, key, {**getattr(now, key), **value} if isinstance(value, dict) else value)
    with pytest.raises(InputError, match="same conditions") as caught:
        compare(base, now, LIMITS)
    assert word in str(caught.value)
    assert any(word in line for line in compare(base, now, LIMITS, anyway=True).allowed)


def test_other_pictures_are_refused() -> None:
    base, now = made_report(made_row("a", noisy(0))), made_report(made_row("a", noisy(1)))
    now.data["classification"].digest = "other"
    with pytest.raises(InputError, match="same conditions"):
        compare(base, now, LIMITS)


def test_a_row_that_fails_now_or_is_gone_is_a_regression() -> None:
    base = made_report(made_row("a", noisy(0)), made_row("b", noisy(1)), made_row("c", noisy(2)))
    broken = made_row("b", noisy(1))
    broken.status, broken.failure = "failed", Failure(kind="ArtifactError", what="It does not load.")
    found = compare(base, made_report(made_row("a", noisy(0)), broken), LIMITS)
    assert len(found.regressions) == 2
    assert "does not load" in " ".join(found.regressions)
    with pytest.raises(InputError, match="no case in common"):
        compare(base, made_report(made_row("d", noisy(0))), LIMITS)


@pytest.mark.parametrize("text", ["p95>5", "p95", "nonsense>+5%", "p95<+5%", "top1>-0.5", "", "p95>+5", "top1<-1ms"])
def test_limits_that_make_no_sense(text: str) -> None:
    with pytest.raises(UsageError):
        parse_limits(text)


def test_limits() -> None:
    p95, top1, load = parse_limits("p95>+5%, top1<-0.5,load>+20ms")
    assert (p95.name, p95.sign, p95.change, p95.unit) == ("p95", ">", 5.0, "%")
    assert (top1.name, top1.change, top1.unit) == ("top1", -0.5, "")
    assert (load.name, load.unit) == ("load", "ms")
    assert str(p95) == "p95>+5%"


def test_a_report_comes_back_from_its_file(tmp_path: Any) -> None:
    report = made_report(made_row("a", noisy(0)))
    write_report(tmp_path / "r.json", report)
    assert read_report(tmp_path / "r.json") == report


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "edgekit.bench", "version": 2}'])
def test_files_that_are_no_reports(tmp_path: Any, text: str) -> None:
    (tmp_path / "r.json").write_text(text)
    with pytest.raises(InputError):
        read_report(tmp_path / "r.json")
