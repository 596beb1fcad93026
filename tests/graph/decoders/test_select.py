"""Suppression in the graph keeps what greedy suppression keeps, chains of boxes included."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgekit.errors import UsageError
from edgekit.graph import decoders
from edgekit.graph.decoders.select import ROUNDS
from edgekit.vision.boxes import iou_matrix
from edgekit.vision.spec import Suppression
from edgekit.vision.suppress import suppress
from tests.graph.decoders.raw import Raw, decoded, specs


def kept(
    boxes: NDArray[np.float32], scores: NDArray[np.float32], labels: NDArray[np.int64], how: Suppression
) -> set[int]:
    """Places whose boxes have a score left; each box's first corner is its own."""
    raw: Raw = {"boxes": boxes[None], "scores": scores[None], "labels": labels[None]}
    reading = decoders.named("detections", specs(raw), "detection", (64, 64), {})
    found = decoded(raw, reading, (64, 64), len(scores), len(scores), how)
    left = found["boxes"][0][found["scores"][0] > 0]
    return {int(np.flatnonzero((boxes == box).all(axis=1))[0]) for box in left}


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.booleans(), st.sampled_from([0.213, 0.451, 0.707]), st.integers(1, 60))
def test_it_is_greedy(seed: int, across: bool, iou: float, n: int) -> None:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 40, (n, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(5, 30, (n, 2))], axis=1).astype(np.float32)
    scores = np.asarray(rng.integers(1, 8, n) / 8, np.float32)
    labels = rng.integers(0, 3, n)
    how = Suppression(iou, across)
    assert kept(boxes, scores, labels, how) == set(np.flatnonzero(suppress(boxes, scores, labels, how)).tolist())


def chain(n: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """Each box overlaps the next one alone by more than a half, and is better than it: every other one is kept."""
    left = 3.0 * np.arange(n)
    boxes = np.stack([left, 0 * left, left + 10, 0 * left + 10], axis=1).astype(np.float32)
    return boxes, np.linspace(0.9, 0.1, n).astype(np.float32), np.zeros(n, np.int64)


def test_a_chain_is_resolved_to_its_end() -> None:
    boxes, scores, labels = chain(ROUNDS)
    assert iou_matrix(boxes, boxes)[0, 1] > 0.5 > iou_matrix(boxes, boxes)[0, 2]
    assert kept(boxes, scores, labels, Suppression(0.5)) == set(range(0, ROUNDS, 2))


def test_of_a_longer_chain_a_duplicate_may_stay_and_nothing_is_lost() -> None:
    boxes, scores, labels = chain(3 * ROUNDS)
    found = kept(boxes, scores, labels, Suppression(0.5))
    assert found > set(range(0, 3 * ROUNDS, 2))
    assert not found & set(range(1, ROUNDS, 2))


def test_what_is_suppressed_suppresses_nothing_and_equal_overlap_is_not_too_much() -> None:
    boxes, scores, labels = chain(3)
    assert suppress(boxes, scores, labels, Suppression(0.5)).tolist() == [True, False, True]
    halves = np.array([[0, 0, 10, 10], [0, 0, 5, 10]], np.float32)
    assert suppress(halves, scores[:2], labels[:2], Suppression(0.5)).tolist() == [True, True]
    assert kept(halves, scores[:2], labels[:2], Suppression(0.5)) == {0, 1}


def test_boxes_of_other_classes_are_left_alone_unless_across_classes() -> None:
    boxes, scores, labels = chain(2)
    labels[1] = 1
    for across, left in ((False, {0, 1}), (True, {0})):
        how = Suppression(0.5, across)
        assert kept(boxes, scores, labels, how) == left
        assert set(np.flatnonzero(suppress(boxes, scores, labels, how)).tolist()) == left


def test_of_equal_scores_the_first_box_stays() -> None:
    boxes, _, labels = chain(2)
    how = Suppression(0.5)
    assert suppress(boxes, [0.5, 0.5], labels, how).tolist() == [True, False]
    assert kept(boxes, np.float32([0.5, 0.5]), labels, how) == {0}


def test_no_boxes_are_no_boxes() -> None:
    assert suppress(np.zeros((0, 4)), [], [], Suppression(0.5)).tolist() == []


def test_boxes_of_no_area_do_not_suppress() -> None:
    boxes = np.array([[3, 3, 3, 3], [3, 3, 3, 3.0], [1, 1, 5, 5]], np.float32)
    scores, labels = np.float32([0.9, 0.8, 0.7]), np.zeros(3, np.int64)
    assert suppress(boxes, scores, labels, Suppression(0.5)).all()
    found = decoded(
        {"boxes": boxes[None], "scores": scores[None], "labels": labels[None]},
        decoders.named(
            "detections", specs({"boxes": boxes[None], "scores": scores[None], "labels": labels[None]}), "detection",
            (64, 64), {},
        ),
        (64, 64), 3, 3, Suppression(0.5),
    )  # fmt: skip
    assert (found["scores"] > 0).all()


def test_what_is_suppressed_makes_room_for_what_was_behind() -> None:
    """The first `keep` of what is left, not what is left of the first `keep`."""
    boxes, scores, labels = chain(6)
    raw: Raw = {"boxes": boxes[None], "scores": scores[None], "labels": labels[None]}
    reading = decoders.named("detections", specs(raw), "detection", (64, 64), {})
    found = decoded(raw, reading, (64, 64), 3, 6, Suppression(0.5))
    np.testing.assert_array_equal(found["scores"][0], scores[[0, 2, 4]])


@pytest.mark.parametrize("keep", [0, 3841])
def test_more_than_a_runtime_can_sort_is_refused(keep: int) -> None:
    boxes, scores, labels = chain(3)
    raw: Raw = {"boxes": boxes[None], "scores": scores[None], "labels": labels[None]}
    reading = decoders.named("detections", specs(raw), "detection", (64, 64), {})
    with pytest.raises(UsageError, match="Boxes kept"):
        decoded(raw, reading, (64, 64), keep)
