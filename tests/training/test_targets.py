"""Targets equal a slow reference written from the paper's equations, place by place, in float64."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import default_collate

from edgekit.errors import DataError
from edgekit.training.targets import (
    ENCODERS,
    OVERLAP,
    OffsetSizeTargets,
    encode_ltrb,
    encode_offset_size,
    gaussian_radius,
)

RADII = ("fixed", "official")


@st.composite
def scenes(draw: st.DrawFn) -> tuple[Tensor, Tensor, int, int]:
    """Boxes, which may share feature pixels; labels of 3 classes; input size."""
    height, width = (32 * draw(st.integers(1, 3)) for _ in range(2))
    boxes = []
    for _ in range(draw(st.integers(0, 5))):
        x, y = (draw(st.floats(0, side - 1)) for side in (width, height))
        w, h = (draw(st.floats(0.5, side - at)) for side, at in ((width, x), (height, y)))
        boxes.append([x, y, min(x + w, width), min(y + h, height)])
    labels = [draw(st.integers(0, 2)) for _ in boxes]
    return torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), torch.tensor(labels).long(), height, width


def slow_radius(w: float, h: float, formula: str) -> int:
    """`fixed`: by bisection on what the radius means; `official`: CornerNet's published lines."""
    t = OVERLAP[formula]
    if formula == "official":
        w, h = math.ceil(w), math.ceil(h)
        b1, c1 = h + w, w * h * (1 - t) / (1 + t)
        b2, c2 = 2 * (h + w), (1 - t) * w * h
        a3, b3, c3 = 4 * t, -2 * t * (h + w), (t - 1) * w * h
        r1, r2 = ((b + math.sqrt(b * b - 4 * a * c)) / 2 for a, b, c in ((1, b1, c1), (4, b2, c2)))
        return max(0, int(min(r1, r2, (b3 + math.sqrt(b3 * b3 - 4 * a3 * c3)) / 2)))
    low, high = 0.0, min(w, h) / 2  # at half the side the box that lies inside is empty
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if worst_overlap(w, h, middle) >= t else (low, middle)
    return math.floor(low)


def worst_overlap(w: float, h: float, r: float) -> float:
    """Smallest IoU of a w x h box with one whose corners are each moved by r, inwards or outwards."""
    worst = 1.0
    for in1, in2 in itertools.product((-1, 1), repeat=2):
        x1, x2 = in1 * r, w - in2 * r  # the same in y
        y1, y2 = in1 * r, h - in2 * r
        both = max(0.0, min(w, x2) - max(0.0, x1)) * max(0.0, min(h, y2) - max(0.0, y1))
        worst = min(worst, both / (w * h + (x2 - x1) * (y2 - y1) - both))
    return worst


def slow_heatmap(boxes: Tensor, labels: Tensor, height: int, width: int, formula: str) -> np.ndarray:
    """Sec. 3: Y = exp(-((x - px)^2 + (y - py)^2) / 2 sigma^2), the maximum where Gaussians of a class overlap."""
    heat = np.zeros((3, height // 4, width // 4))
    for (x1, y1, x2, y2), c in zip(boxes.double().tolist(), labels.tolist(), strict=True):
        px, py = math.floor((x1 + x2) / 2 / 4), math.floor((y1 + y2) / 2 / 4)
        r = slow_radius((x2 - x1) / 4, (y2 - y1) / 4, formula)
        sigma = (2 * r + 1) / 6
        for y in range(max(0, py - r), min(height // 4, py + r + 1)):
            for x in range(max(0, px - r), min(width // 4, px + r + 1)):
                value = math.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * sigma**2))
                heat[c, y, x] = max(heat[c, y, x], value)
    return heat


def not_on_the_edge(boxes: Tensor) -> None:
    """The bisection may miss a radius that is a whole number but for rounding."""
    for w, h in ((boxes[:, 2:] - boxes[:, :2]) / 4).double().tolist():
        r = round(max(float(slow_radius(w, h, "fixed")), 0)) + 1
        assume(abs(worst_overlap(w, h, min(r, min(w, h) / 2)) - OVERLAP["fixed"]) > 1e-9)


@settings(max_examples=150, deadline=None)
@given(scene=scenes())
@pytest.mark.parametrize("formula", RADII)
def test_offset_size_equals_the_slow_reference(formula: Any, scene: tuple[Tensor, Tensor, int, int]) -> None:
    boxes, labels, height, width = scene
    not_on_the_edge(boxes)
    got = encode_offset_size(boxes, labels, classes=3, height=height, width=width, radius=formula)
    np.testing.assert_allclose(got.heatmap, slow_heatmap(boxes, labels, height, width, formula), atol=1e-6)
    offset, size = np.zeros((2, height // 4, width // 4)), np.zeros((2, height // 4, width // 4))
    mask = np.zeros((height // 4, width // 4), bool)
    for x1, y1, x2, y2 in sorted(boxes.double().tolist(), key=lambda b: -(b[2] - b[0]) * (b[3] - b[1])):
        px, py = (x1 + x2) / 2 / 4, (y1 + y2) / 2 / 4
        at = (slice(None), math.floor(py), math.floor(px))
        offset[at], size[at] = (px % 1, py % 1), ((x2 - x1) / 4, (y2 - y1) / 4)
        mask[at[1:]] = True
    areas = {(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in boxes.double().tolist()}
    if len(areas) == len(boxes):  # of two equal ones either may stand there
        np.testing.assert_allclose(got.offset, offset, atol=1e-6)
        np.testing.assert_allclose(got.size, size, atol=1e-5)
    assert np.array_equal(got.mask, mask)
    assert [t.dtype for t in got] == [torch.float32] * 3 + [torch.bool]


@settings(max_examples=150, deadline=None)
@given(scene=scenes())
def test_ltrb_equals_the_slow_reference(scene: tuple[Tensor, Tensor, int, int]) -> None:
    boxes, labels, height, width = scene
    not_on_the_edge(boxes)
    got = encode_ltrb(boxes, labels, classes=3, height=height, width=width)
    h, w = height // 4, width // 4
    want, mask = np.zeros((4, h, w)), np.zeros((h, w), bool)
    sides = [[v / 4 for v in box] for box in boxes.double().tolist()]
    areas = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in sides]
    assume(len(set(areas)) == len(areas))
    for y in range(h):
        for x in range(w):
            claims = []
            for (x1, y1, x2, y2), area in zip(sides, areas, strict=True):
                px, py = math.floor((x1 + x2) / 2), math.floor((y1 + y2) / 2)
                d = (x + 0.5 - x1, y + 0.5 - y1, x2 - x - 0.5, y2 - y - 0.5)
                own = (px, py) == (x, y)
                if own or (max(abs(px - x), abs(py - y)) <= 1 and min(d) > 0):
                    claims.append((not own, area, [max(v, 0) for v in d]))
            if claims:
                mask[y, x], want[:, y, x] = True, min(claims)[2]
    np.testing.assert_allclose(got.distances, want, atol=1e-5)
    assert np.array_equal(got.mask, mask)
    np.testing.assert_allclose(got.heatmap, slow_heatmap(boxes, labels, height, width, "fixed"), atol=1e-6)
    assert [t.dtype for t in got] == [torch.float32] * 2 + [torch.bool]


@settings(max_examples=200, deadline=None)
@given(w=st.floats(0.1, 200), h=st.floats(0.1, 200), overlap=st.floats(0.1, 0.9))
def test_the_fixed_radius_keeps_the_overlap_and_one_more_does_not(w: float, h: float, overlap: float) -> None:
    r = int(gaussian_radius(torch.tensor([[w, h]], dtype=torch.float64), "fixed", overlap))
    assert r >= 0
    assert worst_overlap(w, h, r) >= overlap - 1e-9
    assert r + 1 >= min(w, h) / 2 or worst_overlap(w, h, r + 1) <= overlap + 1e-9


def test_radii_of_a_square_as_known() -> None:
    """Of the side: 0.27 by the official formula, 0.08 by the right one at 0.7 and 0.23 at 0.3."""
    square = torch.tensor([[1000.0, 1000.0]])
    assert gaussian_radius(square, "official").tolist() == [273]
    assert gaussian_radius(square, "fixed", 0.7).tolist() == [81]
    assert gaussian_radius(square).tolist() == [226]


def test_a_peak_is_exactly_1_and_only_at_centres() -> None:
    """The focal loss tells a centre by that."""
    boxes = torch.tensor([[0.0, 0, 1, 1], [0, 0, 2048, 2048], [700, 700.3, 1500, 1600.7], [2047, 2047, 2048, 2048]])
    got = encode_offset_size(boxes, torch.tensor([0, 0, 0, 0]), classes=1, height=2048, width=2048)
    assert [tuple(p) for p in (got.heatmap[0] == 1).nonzero().tolist()] == [(0, 0), (256, 256), (287, 275), (511, 511)]
    assert torch.equal(got.heatmap[0] == 1, got.mask)


@pytest.mark.parametrize("head", ENCODERS)
def test_a_picture_without_boxes_has_empty_targets(head: str) -> None:
    got = ENCODERS[head](torch.zeros(0, 4), torch.zeros(0).long(), classes=2, height=32, width=64)
    assert got.heatmap.shape == (2, 8, 16)
    assert not any(t.any() for t in got)


@pytest.mark.parametrize("head", ENCODERS)
def test_a_batch_is_its_pictures(head: str) -> None:
    scenes = [torch.tensor([[3.0, 5, 40, 30]]), torch.zeros(0, 4), torch.tensor([[3.0, 5, 9, 8], [1, 1, 60, 20]])]
    ones = [ENCODERS[head](b, torch.arange(len(b)), classes=2, height=32, width=64) for b in scenes]
    batch = default_collate(ones)
    assert type(batch) is type(ones[0])
    for name in batch._fields:
        assert torch.equal(getattr(batch, name), torch.stack([getattr(one, name) for one in ones]))


@pytest.mark.parametrize("head", ENCODERS)
def test_the_order_of_boxes_does_not_matter(head: str) -> None:
    boxes = torch.tensor([[0.0, 0, 60, 30], [24, 9, 37, 22], [25, 10, 40, 24], [3, 3, 20, 20]])
    labels = torch.tensor([0, 1, 1, 0])
    want = ENCODERS[head](boxes, labels, classes=2, height=32, width=64)
    for order in itertools.permutations(range(4)):
        got = ENCODERS[head](boxes[list(order)], labels[list(order)], classes=2, height=32, width=64)
        assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))


def test_ltrb_answers_at_nine_places_and_offset_size_at_one() -> None:
    box, label = torch.tensor([[8.0, 8, 56, 56]]), torch.tensor([0])
    assert int(encode_ltrb(box, label, classes=1, height=64, width=64).mask.sum()) == 9
    assert int(encode_offset_size(box, label, classes=1, height=64, width=64).mask.sum()) == 1
    corner = torch.tensor([[0.0, 0, 3, 3]])
    assert int(encode_ltrb(corner, label, classes=1, height=64, width=64).mask.sum()) == 1


def test_a_centre_belongs_to_its_box_even_beside_a_smaller_one() -> None:
    boxes = torch.tensor([[0.0, 0, 64, 64], [33, 28, 44, 40]])  # centres in (8, 8) and (9, 8)
    got = encode_ltrb(boxes, torch.tensor([0, 0]), classes=1, height=64, width=64)
    assert got.distances[:, 8, 8].tolist() == [8.5, 8.5, 7.5, 7.5]  # the smaller one reaches here, too
    assert got.distances[:, 8, 9].tolist() == [1.25, 1.5, 1.5, 1.5]
    assert got.distances[:, 9, 9].tolist() == [1.25, 2.5, 1.5, 0.5]  # nobody's centre: both reach, the smaller has it


@pytest.mark.parametrize("head", ENCODERS)
@pytest.mark.parametrize(
    "box",
    [
        [-0.1, 0, 9, 9], [0, -1, 9, 9], [0, 0, 64.1, 9], [0, 0, 9, 33], [5, 5, 5, 9], [5, 9, 9, 9], [9, 5, 5, 9],
        [0, 0, float("nan"), 9], [float("-inf"), 0, 9, 9],
    ],
)  # fmt: skip
def test_boxes_outside_or_empty_are_the_callers_error(head: str, box: list[float]) -> None:
    boxes = torch.tensor([[1.0, 1, 9, 9], box])
    with pytest.raises(DataError, match="^Box 1 cannot be learnt from") as caught:
        ENCODERS[head](boxes, torch.tensor([0, 0]), classes=1, height=32, width=64)
    assert caught.value.expected == "0 <= x1 < x2 <= 64 and 0 <= y1 < y2 <= 32"
    assert caught.value.fix
    assert f"{box[2]:g}" in str(caught.value.got)


@pytest.mark.parametrize("head", ENCODERS)
def test_wrong_labels_and_shapes_are_refused(head: str) -> None:
    box = torch.tensor([[1.0, 1, 9, 9]])
    for label in (-1, 2):
        with pytest.raises(DataError, match="not a class") as caught:
            ENCODERS[head](box, torch.tensor([label]), classes=2, height=32, width=32)
        assert (caught.value.got, caught.value.expected) == (str(label), "0 to 1")
    for boxes, labels in ((box, torch.tensor([0, 0])), (box[0], torch.tensor([0])), (box[:, :3], torch.tensor([0])),
                          (box, torch.tensor([0.0]))):  # fmt: skip
        with pytest.raises(DataError, match="belong together"):
            ENCODERS[head](boxes, labels, classes=2, height=32, width=32)


def test_a_box_that_fills_the_picture_is_inside() -> None:
    got = encode_offset_size(torch.tensor([[0.0, 0, 64, 32]]), torch.tensor([0]), classes=1, height=32, width=64)
    assert isinstance(got, OffsetSizeTargets)
    assert got.size[:, 4, 8].tolist() == [16, 8]
