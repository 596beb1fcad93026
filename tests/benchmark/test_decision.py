"""What to deploy: the sentence says what the figures show, and no more."""

from __future__ import annotations

from typing import Any

import pytest

from edgekit.benchmark.report.decision import Decision, decisions
from edgekit.benchmark.report.text import as_markdown
from edgekit.benchmark.schema import Agreement, Failure, Ratio, Row, Span, Steadiness
from tests.benchmark.conftest import made_report, made_row, noisy


def beside(reference: Row, verdict: str, p: float, low: float, value: float = -0.004) -> Agreement:
    return Agreement(
        reference=reference.name, share=Span(value=0.95, low=0.9, high=0.99), p_value=p, verdict=verdict,
        difference=Span(value=value, low=low, high=0.01),
    )  # fmt: skip


def two(verdict: str = "no difference shown", **more: Any) -> list[Row]:
    rows = [made_row("net", noisy(0, 20.0)), made_row("net.int8", noisy(1, 4.0), precision="int8", **more)]
    rows[1].agreement = beside(rows[0], verdict, 0.5, -0.021)
    return rows


def only(*rows: Row, **more: Any) -> Decision:
    (found,) = decisions(made_report(*rows, **more))
    return found


def test_what_is_faster_and_not_shown_to_be_worse() -> None:
    rows = two()
    ratios = [
        Ratio(row=rows[1].name, reference=rows[0].name, stage=stage, speedup=Span(value=v, low=v - 0.1, high=v + 0.1))
        for stage, v in (("end_to_end", 3.2), ("inference", 5.04))
    ]
    found = only(*rows, ratios=ratios)
    assert found.level == "good"
    assert found.text == (
        "Deploy int8: answers 3.2 times as fast as fp32 [3.1, 3.3], inference alone 5.0 times, accuracy not shown to "
        "differ (p 0.5 on 200 pictures: 2.1 points of top-1 lost at most)."
    )
    assert f"**{found.lead}**: {found.reason}." in as_markdown(made_report(*rows, ratios=ratios)).splitlines()[2]
    assert "times as fast" in only(*rows).reason  # of the turns, where the report has no ratio


def test_what_is_shown_to_be_worse_is_not_deployed() -> None:
    found = only(*two("worse"))
    assert found.lead == "Deploy fp32"
    assert "nothing as accurate is shown to be faster" in found.reason
    assert "int8 is 3.2 times as fast again but 0.4 points of top-1 worse" in found.reason
    better = two("better")
    better[0], better[1].timing = better[0], better[0].timing
    assert only(*better).lead == "Deploy int8"  # as fast, and the reference is what is worse


def test_what_is_not_told_apart_in_speed_is_named() -> None:
    rows = two()
    other = made_row("net.int8", noisy(1, 4.0), precision="int8", backend="openvino")
    found = only(*rows, other)
    assert "not shown to be slower" in found.reason
    rows[1].timing = rows[0].timing
    assert only(*rows).lead == "Deploy fp32"  # int8 costs accuracy for nothing
    assert "not shown to be slower" not in only(*rows).reason  # which nothing else is shown to be faster than
    assert only(rows[0], made_row("net", noisy(2, 9.0), backend="openvino")).lead == "Deploy net on openvino"


@pytest.mark.parametrize(("others", "told"), [(0.34, "others took up to 34% of its CPUs"), (0.01, "did not settle")])
def test_a_machine_that_was_not_settled(others: float, told: str) -> None:
    rows = two()
    assert rows[1].timing is not None
    rows[1].timing.stability = Steadiness(stable=False, findings=["it drifted"])
    rows[1].timing.others = others
    found = only(*rows)
    assert found.level == "warn"
    assert told in found.reason
    assert found.reason.endswith(": measure again")


def test_an_accuracy_that_was_not_measured() -> None:
    rows = two()
    rows[1].accuracy = rows[1].agreement = None
    found = only(*rows)
    assert (found.level, "its accuracy not measured" in found.reason) == ("warn", True)


def test_nothing_to_deploy() -> None:
    rows = two()
    for row in rows:
        row.verified = False
    assert "no file passed its verification" in only(*rows).reason
    for row in rows:
        row.verified = None
    assert "edgekit export" in only(*rows).reason
    for row in rows:
        row.status, row.timing, row.failure = "failed", None, Failure(kind="X", what="gone")
    found = only(*rows)
    assert (found.lead, found.level) == ("Nothing to deploy", "bad")
    assert "none of 2 cases" in found.reason


def test_one_case_has_nothing_beside_it_and_two_models_a_sentence_each() -> None:
    row = made_row("net", noisy(0, 20.0))
    assert only(row).lead == "net · onnxruntime is the only case"
    other = made_row("more", noisy(0, 20.0))
    other.model = "resnet34 3 classes 16x16"
    assert [d.model for d in decisions(made_report(row, other))] == ["resnet18", "resnet34"]
