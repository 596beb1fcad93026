"""Samples and data sets with boxes: checked, frozen, counted, and part of the digest."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgekit.data.sample import Dataset, Sample
from edgekit.errors import DataError

FRAME = np.zeros((20, 30, 3), dtype=np.uint8)
BOXES = [[1, 2, 3, 4], [5.5, 6, 7, 8]]


def sample(**more: Any) -> Sample:
    return Sample(None, FRAME, None, "s", **{"boxes": BOXES, "box_labels": [1, 0], **more})


def test_arrays_are_copied_and_read_only() -> None:
    given = np.array(BOXES)
    mine = sample(boxes=given, ignored_boxes=[[0, 0, 1, 1]], ignored_labels=[1], box_areas=[3, 4])
    given[:] = 0
    assert mine.boxes is not None
    assert mine.box_labels is not None
    assert mine.boxes.tolist() == BOXES
    assert (mine.boxes.dtype, mine.box_labels.dtype) == (np.float32, np.int64)
    for array in (mine.boxes, mine.box_labels, mine.box_areas, mine.ignored_boxes, mine.ignored_labels):
        assert array is not None
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    truth = mine.ground_truth()
    assert truth.boxes.tolist() == BOXES
    assert (truth.areas.tolist(), truth.ignored_labels.tolist()) == ([3, 4], [1])
    assert sample().ground_truth().areas.tolist() == [4, 3]


def test_no_objects_is_not_unknown_objects() -> None:
    empty, unknown = sample(boxes=[], box_labels=[]), Sample(None, FRAME, None)
    assert empty.boxes is not None
    assert empty.boxes.shape == (0, 4)
    assert empty.ground_truth().boxes.shape == (0, 4)
    with pytest.raises(DataError, match="no boxes"):
        unknown.ground_truth()


@pytest.mark.parametrize(
    "wrong",
    [
        {"box_labels": [1]},
        {"box_labels": None},
        {"boxes": None},
        {"boxes": [[1, 2, 3], [4, 5, 6]]},
        {"boxes": [[1, 2, 1, 4], [5, 6, 7, 8]]},
        {"boxes": [[1, 2, np.nan, 4], [5, 6, 7, 8]]},
        {"box_labels": [0, -1]},
        {"box_labels": [0.0, 1.0]},
        {"box_areas": [1]},
        {"box_areas": [1, -1]},
        {"ignored_boxes": [[0, 0, 1, 1]]},
        {"boxes": None, "box_labels": None, "ignored_boxes": [[0, 0, 1, 1]], "ignored_labels": [0]},
        {"boxes": None, "box_labels": None, "box_areas": [1, 2]},
    ],
)
def test_boxes_that_cannot_be_used(wrong: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        sample(**wrong)


def test_a_data_set_knows_its_task() -> None:
    boxed = Dataset((sample(), sample(boxes=[], box_labels=[])), ("a", "b", "c"), "yolo")
    assert (boxed.any_boxed, boxed.boxed, boxed.labelled) == (True, True, False)
    assert boxed.box_counts == (1, 1, 0)
    named = Dataset((Sample(None, FRAME, 1),), ("a", "b"), "folder")
    assert (named.any_boxed, named.boxed, named.labelled, named.box_counts) == (False, False, True, ())
    mixed = Dataset((sample(), Sample(None, FRAME, None)), ("a", "b"), "yolo")
    assert (mixed.any_boxed, mixed.boxed) == (True, False)


def test_digest_sees_boxes() -> None:
    def digest(**more: Any) -> str:
        return Dataset((sample(**more),), ("a", "b"), "yolo").digest

    changed = [
        digest(),
        digest(boxes=[[1, 2, 3, 4], [5.5, 6, 7, 8.5]]),
        digest(box_labels=[0, 1]),
        digest(box_areas=[1, 2]),
        digest(ignored_boxes=[[0, 0, 1, 1]], ignored_labels=[0]),
        digest(boxes=[], box_labels=[]),
        Dataset((Sample(None, FRAME, None, "s"),), ("a", "b"), "yolo").digest,
    ]
    assert len(set(changed)) == 7
    assert digest() == changed[0]
    assert replace(sample(), name="t").boxes is not None
