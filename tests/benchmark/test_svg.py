from __future__ import annotations

import math
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.benchmark.report.drawing import charts, scatter
from edgekit.benchmark.report.drawing.scatter import Point, Work, pareto
from edgekit.benchmark.report.drawing.svg import (
    Box,
    Canvas,
    Scale,
    Titles,
    log_ticks,
    nice_ticks,
    number,
    padded,
    place_labels,
    shortened,
    text_width,
)

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)


@given(NUMBERS, st.floats(1e-3, 1e6), st.integers(2, 9))
def test_ticks_are_round_evenly_spaced_and_inside(low: float, width: float, count: int) -> None:
    high = low + width
    if high - low < 1e-9 * max(abs(low), 1):
        return
    ticks = nice_ticks(low, high, count)
    assert len(ticks) <= 2 * count + 1
    assert all(low - 1e-6 * width <= t <= high + 1e-6 * width for t in ticks)
    steps = {round((b - a) / width, 6) for a, b in pairwise(ticks)}
    assert len(steps) <= 1


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [(0, 10, [0, 2, 4, 6, 8, 10]), (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (0.4, 12.9, [2.5, 5, 7.5, 10, 12.5])],
)
def test_known_ticks(low: float, high: float, wanted: list[float]) -> None:
    assert nice_ticks(low, high) == pytest.approx(wanted)


def test_logarithmic_ticks() -> None:
    assert log_ticks(1, 100) == [1, 2, 5, 10, 20, 50, 100]
    assert log_ticks(1, 1e6) == [1, 10, 100, 1000, 1e4, 1e5, 1e6]


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (3, "3"), (0.1234, "0.123"), (123.4, "123"), (12_345, "12.3k"), (1.81e9, "1.81G")]
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


@given(st.floats(0.01, 1e4), st.floats(1.1, 1e3), st.booleans())
def test_a_scale_puts_its_ends_at_its_ends(low: float, factor: float, log: bool) -> None:
    scale = Scale(low, low * factor, 50, 450, log)
    assert scale(low) == pytest.approx(50)
    assert scale(low * factor) == pytest.approx(450)
    assert 50 < scale(low * math.sqrt(factor)) < 450


@given(st.lists(NUMBERS, min_size=1, max_size=20))
def test_a_padded_range_holds_its_values(values: list[float]) -> None:
    low, high = padded(values)
    assert low < high
    assert low <= min(values) <= max(values) <= high


@given(
    st.lists(st.tuples(st.floats(60, 440), st.floats(40, 260), st.floats(3, 20)), min_size=1, max_size=14),
    st.integers(3, 24),
)
def test_labels_overlap_nothing_and_stay_inside(points: list[tuple[float, float, float]], letters: int) -> None:
    frame = Box(50, 20, 500, 300)
    labels = place_labels(points, ["x" * letters] * len(points), frame)
    placed = [label for label in labels if label is not None]
    for i, label in enumerate(placed):
        assert label.box.inside(frame)
        assert not any(label.box.overlaps(other.box) for other in placed[i + 1 :])
        for x, y, r in points:
            assert not label.box.overlaps(Box(x - r, y - r, x + r, y + r))


def test_a_lonely_point_has_its_label_beside_it() -> None:
    (label,) = place_labels([(100, 100, 5)], ["name"], Box(0, 0, 400, 200))
    assert label is not None
    assert (label.x > 105, label.far) == (True, False)


def test_five_neighbours_all_get_a_label() -> None:
    points = [(200.0 + 3 * i, 150.0 + 2 * i, 5.0) for i in range(5)]
    assert all(place_labels(points, ["int8 · openvino"] * 5, Box(0, 0, 500, 300)))


def test_shortened_text_fits() -> None:
    assert shortened("short", 200) == "short"
    cut = shortened("a very long name of a case", 80)
    assert cut.endswith("…")
    assert text_width(cut) <= 80


def test_text_is_escaped() -> None:
    canvas = Canvas(10, 10, 'a "title" & <more>')
    canvas.text(1, 1, "<b>&")
    ElementTree.fromstring(canvas.render())


def test_pareto() -> None:
    assert pareto([(1, 0.5), (2, 0.4), (3, 0.7), (3, 0.6), (9, 0.7)]) == [0, 2]


TITLES = Titles("t", "x", "y")
SAMPLES = {"a": [10.0, 11, 12, 50], "b <&>": [5.0, 5.0, 5.0]}
DRAWINGS = {
    "scatter": lambda w: scatter.scatter(
        [Point("a", 10, 0.7, 9, 11, 0.6, 0.8), Point("b", 4, 0.69, weight=1e6, series=2)],
        w,
        Titles("t", "x", "y"),
        front=True,
    ),
    "one point": lambda w: scatter.scatter([Point("a", 10, 0.7)], w, TITLES, log=True),
    "lines": lambda w: charts.lines({"a": [(0, 0.5), (1, 0.2)], "b": [(0, 0.4)]}, w, TITLES, percent=True),
    "time": lambda w: charts.time_series({"a": [(0, 2, [1.0, 2, 30]), (5, 1, [1.0])]}, w, "t"),
    "distributions": lambda w: charts.distributions(SAMPLES, w, "t"),
    "stacked": lambda w: charts.stacked({"a": {"x": 1.0, "y": 20.0}, "b": {"x": 0.0, "y": 3.0}}, w, "t"),
    "bars": lambda w: charts.bars({"up": 3.0, "a rather long name of something": -100.0}, w, "t", ""),
    "zero bars": lambda w: charts.bars({"none": 0.0}, w, "t", "%"),
    "roofline": lambda w: scatter.roofline(
        {"a": [Work("conv", 30, 20, 0.6), Work("relu", 0, 0, 0.4)]}, {"fp32": 100, "int8": 400}, 20, w, "t"
    ),
}


@pytest.mark.parametrize("width", [326.0, 520.0, 1090.0])
@pytest.mark.parametrize("name", DRAWINGS)
def test_drawings_are_whole_and_inside(name: str, width: float) -> None:
    root = ElementTree.fromstring(DRAWINGS[name](width))
    _, _, w, h = map(float, root.attrib["viewBox"].split())
    assert w == width
    texts = 0
    for element in root.iter():
        for key, limit in (("x", w), ("cx", w), ("x1", w), ("x2", w), ("y", h), ("cy", h), ("y1", h), ("y2", h)):
            if key in element.attrib:
                assert -1 <= float(element.attrib[key]) <= limit + 1, (element.tag, element.attrib)
        if element.tag == "text":
            texts += 1
            long, at = text_width(element.text or "") * 0.85, float(element.attrib["x"])
            left = at - {"end": long, "middle": long / 2}.get(element.attrib.get("text-anchor", ""), 0)
            assert left >= -2, element.text
            assert left + long <= w + 2, element.text
    assert texts >= 2
