"""What a detector gets wrong: kinds and costs, against the authors' own program and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from edgekit.errors import DataError
from edgekit.metrics.detection import detection_report
from edgekit.metrics.ground_truth import GroundTruth, Predictions
from edgekit.metrics.mistakes import KINDS, mistakes

# of `scene(seed)`: AP50 and the costs in points and the number of boxes of each kind, in the order of KINDS, as tidecv
# 1.0.1, the authors' program, has them
PUBLISHED = {
    0: (6.1700, (3.3148, 33.6991, 5.1361, 0.4319, 0.0786, 1.5034), (39, 40, 4, 8, 2, 8)),
    1: (3.3482, (3.2952, 18.6802, 0.9092, 0.2988, 0.0000, 5.1279), (39, 25, 2, 6, 1, 13)),
    2: (4.8143, (1.5530, 28.9488, 1.0974, 0.6109, 0.0000, 1.9854), (41, 44, 2, 19, 1, 16)),
    3: (5.9039, (3.8450, 30.5489, 0.0197, 0.2376, 0.0000, 3.5727), (41, 36, 1, 6, 0, 14)),
}


def scene(seed: int) -> tuple[list[GroundTruth], list[Predictions]]:
    """Twelve pictures of three classes: objects, and detections right, shifted, confused, doubled or made up."""
    random = np.random.default_rng(seed)
    truths, founds = [], []
    for _ in range(12):
        n = int(random.integers(0, 7))
        corner = random.uniform(0, 300, (n, 2))
        boxes = np.concatenate([corner, corner + random.uniform(20, 90, (n, 2))], axis=1)
        labels = random.integers(0, 3, n)
        truths.append(GroundTruth(boxes, labels))
        copies, shift = random.integers(0, 4, n), 0.4
        near = np.repeat(boxes, copies, axis=0)
        size = np.repeat(boxes[:, 2:] - boxes[:, :2], copies, axis=0)
        near = near + np.tile(random.normal(0, shift, (len(near), 2)) * size, (1, 2))
        as_class = np.repeat(labels, copies)
        confused = random.random(len(near)) < 0.25
        as_class = np.where(confused, random.integers(0, 3, len(near)), as_class)
        made_up = random.uniform(0, 300, (3, 2))
        all_boxes = np.concatenate([near, np.concatenate([made_up, made_up + 40], axis=1)])
        all_labels = np.concatenate([as_class, random.integers(0, 3, 3)])
        founds.append(Predictions(all_boxes, random.random(len(all_boxes)), all_labels))
    return truths, founds


@pytest.mark.parametrize("seed", PUBLISHED)
def test_equal_to_the_authors_program(seed: int) -> None:
    ap50, costs, counts = PUBLISHED[seed]
    truths, founds = scene(seed)
    found = mistakes(truths, founds, 3)
    assert found.ap50 is not None
    assert 100 * found.ap50 == pytest.approx(ap50, abs=1e-4)
    assert [100 * (found.costs[kind] or 0) for kind in KINDS] == pytest.approx(costs, abs=1e-4)
    assert tuple(found.count(kind) for kind in KINDS) == counts
    assert found.ap50 == pytest.approx(detection_report(truths, founds, ("a", "b", "c")).mean.ap50)


BOX = [10.0, 10, 50, 50]


def one(truth: list[list[float]], labels: list[int], found: list[tuple[list[float], float, int]]) -> list[str]:
    boxes, scores, classes = ([f[i] for f in found] for i in range(3))
    result = mistakes([GroundTruth(truth, labels)], [Predictions(boxes, scores, classes)], 2)
    return [m.kind for m in result.wrong]


def test_each_kind_by_hand() -> None:
    assert one([BOX], [0], [(BOX, 0.9, 0)]) == []
    assert one([BOX], [0], [([200, 200, 240, 240], 0.9, 0)]) == ["background", "missed"]
    assert one([BOX], [0], [([30, 10, 70, 50], 0.9, 0)]) == ["localization"], "IoU 1/3: not missed, badly placed"
    assert one([BOX], [0], [(BOX, 0.9, 1)]) == ["class"]
    assert one([BOX], [0], [([30, 10, 70, 50], 0.9, 1)]) == ["both", "missed"]
    assert one([BOX], [0], [(BOX, 0.9, 0), (BOX, 0.8, 0)]) == ["duplicate"]
    assert one([], [], [(BOX, 0.9, 0)]) == ["background"]
    assert one([BOX], [1], []) == ["missed"]


def test_the_surest_come_first_and_say_where() -> None:
    truths = [GroundTruth([BOX], [0]), GroundTruth([], [])]
    founds = [Predictions([[30, 10, 70, 50]], [0.4], [0]), Predictions([BOX, BOX], [0.3, 0.6], [1, 0])]
    first, second, third = mistakes(truths, founds, 2).wrong
    assert (first.picture, first.found, first.object, first.label, first.score) == (1, 1, None, 0, 0.6)
    assert (second.picture, second.found, second.object, second.kind) == (0, 0, 0, "localization")
    assert (third.picture, third.found) == (1, 0)


def test_what_lies_on_what_is_set_aside_is_no_mistake() -> None:
    crowd = GroundTruth([], [], None, [[0, 0, 100, 100]], [0])
    found = mistakes([crowd], [Predictions([BOX, BOX], [0.9, 0.8], [0, 1])], 2)
    assert [(m.kind, m.label) for m in found.wrong] == [("background", 1)], "of its class only"
    assert found.ap50 is None
    assert set(found.costs.values()) == {None}


def test_a_class_that_was_never_found_costs_its_share() -> None:
    truths = [GroundTruth([BOX, [60, 60, 90, 90]], [0, 1])]
    found = mistakes(truths, [Predictions([BOX], [0.9], [0])], 2)
    assert found.ap50 == pytest.approx(0.5)
    assert found.costs["missed"] == pytest.approx(0.5)
    assert found.costs["background"] == 0


def test_labels_that_are_no_class() -> None:
    with pytest.raises(DataError, match="classes"):
        mistakes([GroundTruth([BOX], [2])], [Predictions([], [], [])], 2)
