"""Boxes against hand-made values, a slow reference that counts pixels, and what must always hold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgekit.vision.boxes import area, clip, cxcywh_from_xyxy, giou, iou_matrix

WHOLE = st.integers(0, 12)
FLOAT = st.floats(-1000, 1000, allow_nan=False, width=32)


@st.composite
def box(draw: st.DrawFn, number: st.SearchStrategy[float] = FLOAT) -> list[float]:
    """x1 <= x2 and y1 <= y2; without area now and then."""
    (x1, x2), (y1, y2) = sorted([draw(number), draw(number)]), sorted([draw(number), draw(number)])
    return [x1, y1, x2, y2]


def pixels(b: list[float]) -> set[tuple[int, int]]:
    return {(x, y) for x in range(int(b[0]), int(b[2])) for y in range(int(b[1]), int(b[3]))}


@given(st.lists(box(WHOLE), max_size=4), st.lists(box(WHOLE), max_size=4))
def test_iou_counts_pixels(a: list[list[float]], b: list[list[float]]) -> None:
    found = iou_matrix(a, b)
    assert found.shape == (len(a), len(b))
    for i, one in enumerate(a):
        for j, other in enumerate(b):
            union = pixels(one) | pixels(other)
            assert found[i, j] == (len(pixels(one) & pixels(other)) / len(union) if union else 0)


@given(box(WHOLE), box(WHOLE))
def test_iou_with_a_crowd_counts_the_first_box_only(one: list[float], crowd: list[float]) -> None:
    own = pixels(one)
    assert iou_matrix([one], [crowd], [True])[0, 0] == (len(own & pixels(crowd)) / len(own) if own else 0)
    assert iou_matrix([one], [crowd], [False])[0, 0] == iou_matrix([one], [crowd])[0, 0]


@given(box(WHOLE), box(WHOLE))
def test_giou_counts_pixels(a: list[float], b: list[float]) -> None:
    union = len(pixels(a) | pixels(b))
    hull = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    iou = len(pixels(a) & pixels(b)) / union if union else 0
    assert giou(a, b) == pytest.approx(iou - ((hull - union) / hull if hull else 0))


def test_giou_of_boxes_apart() -> None:
    # 1 x 1 boxes in a hull of 1 x 4 (Rezatofighi 2019, fig. 2: it falls towards -1 with distance)
    assert giou([0, 0, 1, 1], [3, 0, 4, 1]) == pytest.approx(-0.5)
    near, far = giou([0, 0, 1, 1], [[2, 0, 3, 1], [999, 0, 1000, 1]])
    assert near > far > -1
    assert giou(np.zeros((0, 4)), np.zeros((0, 4))).shape == (0,)


@given(box(), box())
def test_what_always_holds(a: list[float], b: list[float]) -> None:
    iou, general = iou_matrix([a], [b])[0, 0], float(giou(a, b))
    assert 0 <= iou <= 1 + 1e-12
    assert -1 - 1e-12 <= general <= iou + 1e-12
    assert iou == iou_matrix([b], [a])[0, 0]
    assert general == float(giou(b, a))
    if area(a) > 0:
        assert iou_matrix([a], [a])[0, 0] == 1
        assert giou(a, a) == 1


@given(box(), st.floats(-100, 100, width=32), st.floats(0.125, 8, width=32))
def test_iou_does_not_see_place_and_scale(a: list[float], shift: float, scale: float) -> None:
    b = [a[0] + 3, a[1] + 1, a[2] + 5, a[3] + 4]
    moved = (np.array([a, b]) + shift) * scale
    assert iou_matrix([moved[0]], [moved[1]])[0, 0] == pytest.approx(iou_matrix([a], [b])[0, 0], abs=1e-6)


@given(box(), st.integers(1, 500), st.integers(1, 500))
def test_clip_stays_inside_and_changes_nothing_there(b: list[float], height: int, width: int) -> None:
    cut = clip(b, height, width)
    assert (cut >= 0).all()
    assert (cut <= [width, height, width, height]).all()
    inside = b[0] >= 0 and b[2] <= width and b[1] >= 0 and b[3] <= height
    assert (cut == b).all() == inside
    outside = b[2] <= 0 or b[0] >= width or b[3] <= 0 or b[1] >= height
    if outside:
        assert area(cut) == 0
    np.testing.assert_array_equal(clip(cut, height, width), cut)


@given(st.lists(box(), min_size=1, max_size=5))
def test_centre_and_corners_are_inverse(boxes: list[list[float]]) -> None:
    centred = cxcywh_from_xyxy(boxes)
    middle, half = centred[:, :2], centred[:, 2:] / 2
    np.testing.assert_allclose(np.hstack([middle - half, middle + half]), boxes, atol=1e-9)
    np.testing.assert_allclose(centred[:, 2] * centred[:, 3], area(boxes), rtol=1e-12)


def test_by_hand() -> None:
    assert cxcywh_from_xyxy([1, 2, 4, 8]).tolist() == [2.5, 5, 3, 6]
    assert clip([-1, 2, 9, 30], 20, 8).tolist() == [0, 2, 8, 20]
    assert area([[0, 0, 2, 3], [5, 5, 4, 9]]).tolist() == [6, 0]
    assert area([]).shape == (0,)
    assert iou_matrix([[0, 0, 2, 2]], [[1, 1, 3, 3], [0, 0, 2, 2], [2, 0, 4, 2]]).tolist() == [[1 / 7, 1, 0]]


@pytest.mark.parametrize("wrong", [[1, 2, 3], 5, [[1, 2, 3, 4, 5]]])
def test_what_is_no_box(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"boxes must be \[\.\.\., 4\]"):
        area(wrong)  # type: ignore[arg-type]


def test_inputs_are_left_alone() -> None:
    given_boxes: NDArray[np.float32] = np.array([[-5, 0, 20, 4]], dtype=np.float32)
    clip(given_boxes, 10, 10)
    assert given_boxes.tolist() == [[-5, 0, 20, 4]]
