"""Percentiles of few timings, by one rule in the JSON, the table, the page, a comparison and a camera."""

from __future__ import annotations

import csv
import io
import json
import re

import numpy as np
import pytest

from edgekit.benchmark.report.compare import compare, parse_limits
from edgekit.benchmark.report.drawing import charts
from edgekit.benchmark.report.page import as_html
from edgekit.benchmark.report.rows import short_names
from edgekit.benchmark.report.text import as_csv, as_markdown
from edgekit.benchmark.report.winners import judged
from edgekit.benchmark.schema import Data, Report
from edgekit.camera.health import Health
from edgekit.camera.web.metrics import exposition
from tests.benchmark.conftest import made_report, made_row


def report(count: int, times: float = 1.0) -> Report:
    """A row whose timings are 1 ... `count` ms, and 3.1 more end to end."""
    return made_report(made_row("a", np.array_split(times * np.arange(1.0, count + 1), 3)))


def test_of_33_timings_there_is_no_p99_anywhere() -> None:
    few = report(33)
    figures = json.loads(few.to_json())["rows"][0]["timing"]["stages"]["end_to_end"]
    assert (figures["n"], figures["p99"], figures["p999"]) == (33, None, None)
    assert figures["p95"] == pytest.approx(32 + 3.1)
    (line,) = [line for line in as_markdown(few).splitlines() if line.startswith("| a ")]
    assert line.split(" | ")[4:7] == ["20.10", "35.10", "-"]
    (row,) = csv.DictReader(io.StringIO(as_csv(few)))
    assert (row["p99_ms"], row["p999_ms"]) == ("", "")
    page = as_html(few)
    assert '<td data-l="p99">–</td>' in page
    assert not re.search(r"p99 \d", page)


def test_of_a_hundred_page_and_table_say_the_same() -> None:
    known = report(100)
    figures = known.rows[0].timing.stages["end_to_end"]  # type: ignore[union-attr]
    assert figures.p99 == pytest.approx(99 + 3.1)
    page = as_html(known)
    assert f'<td data-l="p99">{figures.p99:.2f}</td>' in page
    assert f"p50 {figures.p50:.3g}  p95 {figures.p95:.3g}  p99 {figures.p99:.3g}" in page  # the drawing's
    assert f"| {figures.p50:.2f} | {figures.p95:.2f} | {figures.p99:.2f} |" in as_markdown(known)


def test_a_drawing_marks_what_is_told() -> None:
    drawn = {n: charts.distributions({"a": list(range(1, n + 1))}, 500, "t") for n in (19, 33, 100)}
    lines = {n: text.count('class="q s1"') for n, text in drawn.items()}
    assert lines == {19: 1, 33: 2, 100: 3}


def test_a_p95_of_few_wins_nothing() -> None:
    few = report(12)
    timing = few.rows[0].timing
    assert timing is not None
    assert "end_to_end.p95" not in timing.intervals
    for count, shown in ((12, False), (120, True)):
        rows = [made_row(name, np.array_split(t * np.arange(1.0, count + 1), 3)) for name, t in (("a", 1), ("b", 9))]
        goals = [w.goal for w in judged(rows, short_names(rows)).winners]
        assert ("Steadiest tail, p95" in goals) == shown
        assert "Quickest answer, p50" in goals


def test_a_p95_of_few_is_not_compared_and_that_is_said() -> None:
    found = compare(report(12), report(12, times=3), parse_limits("p50>+5%,p95>+5%,p99>+5%"))
    assert [c.limit.name for c in found.changes] == ["p50"]
    assert found.few == (
        "a · onnxruntime: p95 is not compared: 12 and 12 timings, of 20 that it needs",
        "a · onnxruntime: p99 is not compared: 12 and 12 timings, of 100 that it needs",
    )
    assert found.to_dict()["too_few"] == list(found.few)


def test_the_pictures_are_those_that_were_measured() -> None:
    some = report(33)
    some.data["classification"] = Data(name="bees", pictures=500, measured=200, digest="d", made=False, timed=32)
    assert "200 of 500 pictures, bees" in as_html(some)
    assert "200 of 500 pictures of bees, timings rotate over 32" in as_markdown(some)
    some.data["classification"].measured = 500
    assert ">500 pictures, bees" in as_html(some)


def test_a_camera_tells_no_p99_of_its_first_frames() -> None:
    health = Health()
    for i in range(99):
        health.looked(0.001 * (i + 1), 0.001 * (i + 1))
    status = health.status()
    assert (status["model"]["ms_p50"], status["model"]["ms_p99"], status["age"]["ms_p99"]) == (50, None, None)
    text = exposition("box", {"hive": health.status()})[0].decode()
    assert 'quantile="0.5"' in text
    assert 'quantile="0.99"' not in text
    health.looked(1, 1)
    assert health.status()["model"]["ms_p99"] == 99
