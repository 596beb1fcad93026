from __future__ import annotations

import numpy as np
import pytest

from edgekit.metrics.average_precision.coco import coco_ap
from edgekit.metrics.average_precision.intervals import ap_difference, ap_interval, drawn_ap, matched_parts
from edgekit.metrics.ground_truth import GroundTruth, Predictions

BOX = [[10.0, 10, 60, 60]]


def pictures(found: int, missed: int, empty: int = 0) -> tuple[list[GroundTruth], list[Predictions]]:
    """Pictures with an object each that is found, or where only another place is named; and pictures of nothing."""
    truths = [GroundTruth(BOX, [0])] * (found + missed) + [GroundTruth([], [])] * empty
    right, wrong = Predictions(BOX, [0.9], [0]), Predictions([[100.0, 100, 150, 150]], [0.5], [0])
    return truths, [right] * found + [wrong] * missed + [Predictions([], [], [])] * empty


@pytest.mark.parametrize("only_half", [False, True])
def test_the_parts_put_together_are_the_whole(only_half: bool) -> None:
    truths, founds = pictures(7, 5, 3)
    parts = matched_parts(truths, founds, 1, only_half)
    wanted = coco_ap(truths, founds, 1).mean(0.5 if only_half else None)
    assert drawn_ap(parts, np.arange(15)) == pytest.approx(wanted, abs=1e-12)
    assert drawn_ap(parts, np.arange(12, 15)) is None, "no object in these"
    assert drawn_ap(parts, np.array([0, 0, 1])) == pytest.approx(1.0)


def test_an_interval_holds_its_value_and_stays_within_0_and_1() -> None:
    truths, founds = pictures(7, 5)
    value = coco_ap(truths, founds, 1).mean()
    assert value is not None
    found = ap_interval(matched_parts(truths, founds, 1), value)
    assert 0.2 < found.low < found.value < found.high < 0.95
    assert found.value == value
    for n_found, n_missed, sure in ((6, 0, 1.0), (0, 6, 0.0)):
        some = ap_interval(matched_parts(*pictures(n_found, n_missed), 1), sure)
        assert (some.low, some.value, some.high) == (pytest.approx(sure), sure, pytest.approx(sure))


def test_nothing_drawn_says_nothing() -> None:
    found = ap_interval(matched_parts(*pictures(0, 0, 4), 1), 0.5)
    assert (found.low, found.high) == (0.0, 1.0)


def test_the_difference_is_of_the_same_pictures_and_has_a_sign() -> None:
    truths, good = pictures(9, 1)
    _, bad = pictures(4, 6)
    parts = [matched_parts(truths, founds, 1) for founds in (good, bad)]
    worse, better = ap_difference(*parts), ap_difference(*reversed(parts))
    assert worse is not None
    assert better is not None
    assert worse.low < worse.value < worse.high < 0
    assert (better.low, better.value, better.high) == pytest.approx((-worse.high, -worse.value, -worse.low))
    same = ap_difference(parts[0], parts[0])
    assert same is not None
    assert (same.low, same.value, same.high) == (0.0, 0.0, 0.0)


def test_without_objects_there_is_no_difference() -> None:
    parts = matched_parts(*pictures(0, 0, 3), 1)
    assert ap_difference(parts, parts) is None


def test_half_is_an_iou_of_half_and_no_other() -> None:
    truths = [GroundTruth(BOX, [0])]
    founds = [Predictions(np.array(BOX) + 8.6, [0.9], [0])]  # IoU 0.52
    everything = np.arange(1)
    assert drawn_ap(matched_parts(truths, founds, 1, True), everything) == pytest.approx(1.0)
    assert drawn_ap(matched_parts(truths, founds, 1), everything) == pytest.approx(0.1)
