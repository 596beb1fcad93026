"""Masks are counted as a loop over pixels counts them; void counts nowhere; intervals hold what they say."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from edgekit.errors import DataError
from edgekit.metrics.segmentation.boundary import boundary_f, tolerance
from edgekit.metrics.segmentation.confusion import confusion, intersection_over_union, mean_of_known
from edgekit.metrics.segmentation.report import Counter, PictureCounts, miou_difference, segmentation_report

CLASSES = ("sky", "road", "tree", "car")
C = len(CLASSES)


def pair(seed: int, shape: tuple[int, int] = (24, 31), void: float = 0.1, none: float = 0.05) -> tuple[Any, Any]:
    """A truth in patches with void, and an answer that is right on three quarters of it."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, C, (shape[0] // 6 + 1, shape[1] // 6 + 1)).repeat(6, 0).repeat(6, 1)
    truth = truth[: shape[0], : shape[1]].astype(np.int16)
    told = np.where(rng.random(shape) < 0.75, truth, rng.integers(0, C, shape)).astype(np.int16)
    told[rng.random(shape) < none] = -1
    truth[rng.random(shape) < void] = -1
    return truth, told


def slow_iou(pairs: list[tuple[Any, Any]]) -> list[float]:
    """By sets of pixels, one class after the other."""
    found = []
    for label in range(C):
        both = either = 0
        for truth, told in pairs:
            for want, got in zip(truth.ravel().tolist(), told.ravel().tolist(), strict=True):
                if want != -1:
                    both += want == label and got == label
                    either += want == label or got == label
        found.append(both / either if either else math.nan)
    return found


def slow_boundary_f(truth: Any, told: Any, label: int) -> float:
    """By distances to the nearest edge (scipy), pixel by pixel."""
    height, width = truth.shape
    told = np.where(truth == -1, -1, told)

    def edge(mask: Any) -> Any:
        found = np.zeros(mask.shape, bool)
        for y in range(height):
            for x in range(width):
                for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                    if 0 <= v < height and 0 <= u < width and mask[y, x] == label:
                        found[y, x] |= mask[v, u] not in (label, -1)
        return found

    wanted, given = edge(truth), edge(told)
    if not wanted.any() and not given.any():
        return math.nan
    if not wanted.any() or not given.any():
        return 0.0
    reach = tolerance(truth.shape)
    precision = (distance_transform_edt(~wanted)[given] <= reach).mean()
    recall = (distance_transform_edt(~given)[wanted] <= reach).mean()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def counted(pairs: list[tuple[Any, Any]]) -> PictureCounts:
    counter = Counter(C)
    for truth, told in pairs:
        counter.add(truth, told)
    return counter.counts()


@pytest.mark.parametrize("void", [0.0, 0.3])
def test_iou_is_that_of_a_loop_over_pixels(void: float) -> None:
    pairs = [pair(seed, void=void) for seed in range(5)]
    report = segmentation_report(counted(pairs), CLASSES)
    wanted = slow_iou(pairs)
    assert [one.iou for one in report.classes] == pytest.approx(wanted, abs=1e-12)
    assert report.miou is not None
    assert report.miou.value == pytest.approx(np.mean(wanted), abs=1e-12)
    right = sum(int(((truth == told) & (truth >= 0)).sum()) for truth, told in pairs)
    pixels = sum(int((truth >= 0).sum()) for truth, told in pairs)
    assert report.pixel_accuracy is not None
    assert report.pixel_accuracy.value == pytest.approx(right / pixels, abs=1e-12)
    assert report.pixels == pixels
    assert report.void == pytest.approx(1 - pixels / (5 * 24 * 31), abs=1e-12)


def test_iou_is_torchmetrics() -> None:
    classification = pytest.importorskip("torchmetrics.classification")
    torch = pytest.importorskip("torch")
    pairs = [pair(seed, none=0) for seed in range(6)]
    theirs = [
        classification.MulticlassJaccardIndex(C, average=average, ignore_index=-1) for average in ("macro", "none")
    ]
    accuracy = classification.MulticlassAccuracy(C, average="micro", ignore_index=-1)
    for truth, told in pairs:
        for metric in (*theirs, accuracy):
            metric.update(torch.from_numpy(told.astype(np.int64)), torch.from_numpy(truth.astype(np.int64)))
    report = segmentation_report(counted(pairs), CLASSES)
    assert report.miou is not None
    assert report.pixel_accuracy is not None
    assert report.miou.value == pytest.approx(float(theirs[0].compute()), abs=1e-6)
    assert [one.iou for one in report.classes] == pytest.approx(theirs[1].compute().tolist(), abs=1e-6)
    assert report.pixel_accuracy.value == pytest.approx(float(accuracy.compute()), abs=1e-6)


def test_the_table_has_a_column_for_no_answer_and_no_row_for_void() -> None:
    truth, told = np.array([[0, 1, -1, 2]]), np.array([[0, 2, 1, -1]])
    assert confusion(truth, told, 3).tolist() == [[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    with pytest.raises(DataError, match="differ in size"):
        confusion(truth, told.T, 3)
    for one, other in ((truth, told + 1), (truth + 1, told), (truth, told - 1)):
        with pytest.raises(DataError, match="no class"):
            confusion(one, other, 3)


def test_a_class_that_nowhere_is_does_not_count_and_one_that_is_only_told_is_zero() -> None:
    found = intersection_over_union(np.array([5, 0, 0]), np.array([5, 0, 0]), np.array([6, 1, 0]))
    assert found[:2].tolist() == [pytest.approx(5 / 6), 0]
    assert np.isnan(found[2])
    assert mean_of_known(found) == pytest.approx(5 / 12)
    assert mean_of_known(np.array([np.nan])) is None


@pytest.mark.parametrize("seed", range(3))
def test_edges_are_those_of_a_loop_with_distances(seed: int) -> None:
    truth, told = pair(seed, (40, 52))
    told = np.where(np.random.default_rng(seed).random(told.shape) < 0.97, truth, told)
    told = np.roll(told, seed, axis=1)
    found = boundary_f(truth, told, C)
    assert found.tolist() == pytest.approx([slow_boundary_f(truth, told, label) for label in range(C)], nan_ok=True)
    assert 0.2 < np.nanmin(found) <= np.nanmax(found) <= 1


def test_an_edge_may_be_off_by_the_tolerance_and_no_more() -> None:
    truth = np.zeros((300, 400), np.int16)  # a diagonal of 500: 4 pixels
    truth[:, 200:] = 1
    assert tolerance(truth.shape) == 4
    moved = np.zeros_like(truth)
    for by, wanted in ((4, 1.0), (5, 0.0)):
        moved[:] = 0
        moved[:, 200 + by :] = 1
        assert boundary_f(truth, moved, 2).tolist() == [wanted] * 2
    none = boundary_f(np.zeros((9, 9), int), np.zeros((9, 9), int), 2)
    assert np.isnan(none).all()


def test_void_makes_no_edge() -> None:
    truth = np.zeros((20, 20), np.int16)
    truth[:, 8:12] = -1
    told = np.zeros((20, 20), np.int16)
    told[:, 9:11] = 1  # inside what nobody knows
    assert np.isnan(boundary_f(truth, told, 2)).all()
    report = segmentation_report(counted([(truth, told)]), CLASSES)
    assert report.miou is not None
    assert report.miou.value == 1
    assert report.boundary_f is None


def test_an_all_void_set_is_not_measured() -> None:
    nothing = np.full((4, 4), -1, np.int16)
    report = segmentation_report(counted([(nothing, np.zeros((4, 4), np.int16))]), CLASSES)
    assert (report.miou, report.pixel_accuracy, report.pixels, report.void) == (None, None, 0, 1)


def test_intervals_are_drawn_by_picture() -> None:
    """Pictures that are all alike leave nothing to chance; one that differs widens the interval."""
    alike = segmentation_report(counted([pair(0)] * 8), CLASSES)
    assert alike.miou is not None
    assert alike.miou.low == alike.miou.high == alike.miou.value
    mixed = segmentation_report(counted([*[pair(0)] * 7, (pair(0)[0], (pair(0)[0] + 1) % C)]), CLASSES)
    for found in (mixed.miou, mixed.pixel_accuracy, mixed.boundary_f):
        assert found is not None
        assert found.low < found.value < found.high


def test_two_models_are_compared_in_pairs() -> None:
    """Where each picture's answer is a little better, the difference is sure though the figures vary more."""
    hard = [0.3, 0.5, 0.7, 0.9] * 5

    def answers(right: float) -> PictureCounts:
        pairs = []
        for seed, share in enumerate(hard):
            truth, _ = pair(seed)
            lucky = np.random.default_rng(seed).random(truth.shape) < share + right
            pairs.append((truth, np.where(lucky, np.maximum(truth, 0), (truth + 1) % C).astype(np.int16)))
        return counted(pairs)

    worse, better = answers(0.0), answers(0.03)
    report = segmentation_report(worse, CLASSES)
    difference = miou_difference(worse, better)
    assert difference is not None
    assert report.miou is not None
    assert 0 < difference.low < difference.value < difference.high < 0.1
    assert difference.high - difference.low < (report.miou.high - report.miou.low) / 3
