"""The text of a YOLO label file, and that it says the same boxes when it is read again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.data.writing.yolo import yolo_rows
from edgekit.errors import DataError


def read(text: str, width: int, height: int) -> np.ndarray:
    parts = np.array([[float(n) for n in row.split()[1:]] for row in text.splitlines()])
    centres, sizes = parts[:, :2] * (width, height), parts[:, 2:] * (width, height)
    return np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1)


def test_rows_are_parts_of_the_picture_in_the_order_of_the_boxes():
    text = yolo_rows([[10, 20, 30, 60], [0, 0, 100, 200]], [3, 0], 100, 200)
    assert text == "3 0.2 0.2 0.2 0.2\n0 0.5 0.5 1.0 1.0\n"


def test_no_boxes_are_an_empty_file():
    assert yolo_rows(np.zeros((0, 4)), [], 10, 10) == ""
    assert yolo_rows([], [], 10, 10) == ""


@settings(max_examples=200, deadline=None)
@given(st.data(), st.integers(1, 50000), st.integers(1, 50000))
def test_a_round_trip_is_exact_to_a_millionth_of_a_pixel_and_to_the_bit_in_float32(data, width, height):
    def span(size):
        first = data.draw(st.floats(0, size, width=32, exclude_max=True))
        return first, data.draw(st.floats(first, size, width=32, exclude_min=True))

    (x1, x2), (y1, y2) = span(float(width)), span(float(height))
    box = np.array([[x1, y1, x2, y2]], np.float32)
    again = read(yolo_rows(box, [1], width, height), width, height)
    assert np.abs(again - box).max() <= 1e-6
    big = np.abs(box) >= 1.0  # a smaller coordinate has bits below 1e-7 of a pixel
    assert (again.astype(np.float32) == box)[big].all()


@pytest.mark.parametrize(
    ("boxes", "labels", "size"),
    [
        ([[1, 1, 1, 2]], [0], (9, 9)),
        ([[1, 1, float("nan"), 2]], [0], (9, 9)),
        ([[1, 1, 2, 2]], [-1], (9, 9)),
        ([[1, 1, 2, 2]], [0, 1], (9, 9)),
        ([[1, 1, 2]], [0], (9, 9)),
        ([[1, 1, 2, 2]], [0], (0, 9)),
    ],
)
def test_what_is_no_box_of_a_picture_is_refused(boxes, labels, size):
    with pytest.raises(DataError):
        yolo_rows(boxes, labels, *size)
