"""Average precision against pycocotools, a published VOC run and hand-made cases; the report as a whole."""

import contextlib
import io
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.errors import DataError, UsageError
from edgekit.metrics.average_precision.coco import AREAS, coco_ap
from edgekit.metrics.average_precision.voc import voc_curve, voc_curves
from edgekit.metrics.detection import GroundTruth, Predictions, confusion, detection_report, operating_points
from edgekit.metrics.operating_point import best_threshold
from edgekit.tasks.detection.text import curve_lines

REAL = Path(os.environ.get("EDGEKIT_DATA", "nowhere"))
NO_TRUTH, NOTHING = GroundTruth([], []), Predictions([], [], [])
Case = tuple[list[GroundTruth], list[Predictions]]


def case(seed: int, n_classes: int = 3, most: int = 12, pictures: int = 8) -> Case:
    """Random pictures: objects of all sizes, detections near them and elsewhere, ties, crowds, empty pictures.

    Even seeds are whole numbers, so that boxes touch, overlaps tie and areas lie on 32 x 32; odd seeds are not.
    """
    rng = np.random.default_rng(seed)
    whole = seed % 2 == 0

    def boxes(n: int) -> Any:
        size = np.exp(rng.uniform(np.log(4), np.log(300), (n, 2)))
        size[rng.random(n) < 0.1] = 32
        at = rng.uniform(0, 200, (n, 2))
        both = np.concatenate([at, at + size], axis=1)
        return np.rint(both) if whole else both

    truths, founds = [], []
    for _ in range(pictures):
        n, k = int(rng.integers(0, most)), int(rng.integers(0, 3))
        objects, labels = boxes(n), rng.integers(0, n_classes, n)
        areas = None if rng.random() < 0.5 else (objects[:, 2] - objects[:, 0]) * rng.uniform(0.3, 1, n) * 20
        truths.append(GroundTruth(objects, labels, areas, boxes(k), rng.integers(0, n_classes, k)))
        everything = np.concatenate([objects, truths[-1].ignored_boxes])
        classes = np.concatenate([labels, truths[-1].ignored_labels])
        chosen = rng.integers(0, max(len(everything), 1), rng.integers(0, 2 * len(everything) + 1))
        moved = everything[chosen] + rng.normal(0, rng.choice([0.3, 1, 4]), (len(chosen), 4))
        moved = np.rint(moved) if whole else moved
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
        stray = boxes(int(rng.integers(0, 6)))
        found, named = np.concatenate([moved, stray]), np.concatenate([classes[chosen], rng.integers(0, 3, len(stray))])
        named = np.where(rng.random(len(named)) < 0.1, rng.integers(0, 3, len(named)), named) % n_classes
        scores = rng.integers(0, 8, len(found)) / 8 if rng.random() < 0.5 else rng.random(len(found))
        founds.append(Predictions(found, scores, named))
    return truths, founds


def reference(truths: Sequence[GroundTruth], founds: Sequence[Predictions], n_classes: int) -> Any:
    """pycocotools' precision [10, 101, classes, 4] with its -1 as NaN."""
    coco = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed: nothing to compare with")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")

    def xywh(box: Any) -> list[float]:
        return [box[0], box[1], box[2] - box[0], box[3] - box[1]]

    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for i, (truth, found) in enumerate(zip(truths, founds, strict=True), 1):
        for box, label, area in zip(truth.boxes, truth.labels, truth.areas, strict=True):
            item = {"image_id": i, "category_id": int(label) + 1, "bbox": xywh(box), "area": area, "iscrowd": 0}
            annotations.append({"id": len(annotations) + 1, **item})
        for box, label in zip(truth.ignored_boxes, truth.ignored_labels, strict=True):
            item = {"image_id": i, "category_id": int(label) + 1, "bbox": xywh(box), "iscrowd": 1}
            annotations.append({"id": len(annotations) + 1, **item, "area": item["bbox"][2] * item["bbox"][3]})
        for box, label, score in zip(found.boxes, found.labels, found.scores, strict=True):
            results.append({"image_id": i, "category_id": int(label) + 1, "bbox": xywh(box), "score": score})
    truth_set = coco.COCO()
    truth_set.dataset = {
        "info": {},
        "images": [{"id": i + 1} for i in range(len(truths))],
        "categories": [{"id": k + 1} for k in range(n_classes)],
        "annotations": annotations,
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth_set.createIndex()
        evaluation = cocoeval.COCOeval(truth_set, truth_set.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][..., -1]
    return np.where(precision < 0, np.nan, precision)


@pytest.mark.parametrize("seed", range(40))
def test_ap_equals_pycocotools(seed: int) -> None:
    truths, founds = case(seed)
    if not any(len(f.scores) for f in founds):
        pytest.skip("pycocotools takes no empty list of detections")
    ours, theirs = coco_ap(truths, founds, 3), reference(truths, founds, 3)
    # the whole curve at every IoU, recall, class and area, not the mean of it alone
    np.testing.assert_allclose(ours.precision, theirs, rtol=0, atol=1e-12)
    for a, size in enumerate(AREAS):
        for label in range(3):
            values = theirs[:, :, label, a][~np.isnan(theirs[:, :, label, a])]
            expected = values.mean() if values.size else None
            assert ours.mean(area=size, label=label) == pytest.approx(expected, abs=1e-6)


def test_more_than_a_hundred_detections_equal_pycocotools() -> None:
    truths, founds = case(3, n_classes=1, most=150, pictures=3)
    assert max(len(f.scores) for f in founds) > 100
    np.testing.assert_allclose(coco_ap(truths, founds, 1).precision, reference(truths, founds, 1), rtol=0, atol=1e-12)


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_of_equal_overlaps_the_last_object_is_taken_as_in_pycocotools(order: list[int]) -> None:
    # the first detection lies midway; only if it takes the second object, the next one finds the first free
    truths = [GroundTruth(np.array([[0, 0, 10, 10], [4, 0, 14, 10]])[order], [0, 0])]
    founds = [Predictions([[2, 0, 12, 10], [0, 0, 10, 10]], [0.9, 0.8], [0, 0])]
    ours = coco_ap(truths, founds, 1)
    np.testing.assert_allclose(ours.precision, reference(truths, founds, 1), rtol=0, atol=1e-12)
    assert (ours.mean(0.5) == pytest.approx(1)) == (order == [0, 1])


def test_the_comparison_can_fail() -> None:
    truths, founds = case(0)
    theirs = reference(truths, founds, 3)
    worse = [Predictions(f.boxes + 3, f.scores, f.labels) for f in founds]
    no_crowds = [replace(t, ignored_boxes=None, ignored_labels=None) for t in truths]
    no_areas = [replace(t, areas=None) for t in truths]
    assert 0.1 < np.nanmean(theirs) < 0.9
    for other_truths, other_founds in ((truths, worse), (no_crowds, founds), (no_areas, founds)):
        assert np.nanmax(np.abs(coco_ap(other_truths, other_founds, 3).precision - theirs)) > 0.01


def test_a_perfect_detector_and_a_blind_one() -> None:
    truths = [GroundTruth([[0, 0, 10, 10], [20, 20, 120, 130]], [0, 1]), NO_TRUTH]
    perfect = [Predictions(truths[0].boxes, [0.5, 0.9], [0, 1]), NOTHING]
    report = detection_report(truths, perfect, ["a", "b", "never"])
    assert (report.mean.ap, report.mean.ap50, report.mean.voc07, report.mean.voc) == pytest.approx((1, 1, 1, 1))
    a, b, never = (averages for _, averages in report.classes)
    assert (a.small, a.medium, a.large) == (pytest.approx(1), None, None)
    assert (b.small, b.medium, b.large) == (None, None, pytest.approx(1))
    assert never.ap is None
    assert never.voc07 is None
    blind = detection_report(truths, [NOTHING, NOTHING], ["a", "b", "never"])
    assert (blind.mean.ap, blind.mean.voc07, blind.mean.voc) == (0, 0, 0)
    assert blind.objects == (1, 1, 0)


def test_precision_and_recall_along_the_curve() -> None:
    truths = [GroundTruth([[0, 0, 10, 10], [20, 0, 30, 10]], [0, 0]), NO_TRUTH]
    found = Predictions([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]], [0.85, 0.35, 0.55], [0, 0, 0])
    report = detection_report(truths, [found, NOTHING], ["a", "never"], 0.45)
    points = {point.threshold: (point.precision.value, point.recall.value) for point in report.curves[0]}
    assert points[0.2] == (2 / 3, 1)
    assert points[0.5] == (0.5, 0.5)
    assert points[0.8] == (1, 0.5)
    assert points[0.9] == (None, 0)
    for point in report.curves[0]:
        assert point == operating_points(truths, [found, NOTHING], ["a", "never"], point.threshold)[0]
    # the text: a bar between .4 and .5, and nothing of a class without objects
    title, head, precision, recall = curve_lines(report)
    assert "| where the threshold lies" in title
    at = head.index("0.50")
    assert precision.split()[:2] == ["a", "precision"]
    assert (precision[at - 1 : at + 4], recall[at - 1 : at + 4]) == ("|0.50", "|0.50")
    assert precision.count("|") == recall.count("|") == 1
    assert precision.endswith("   -")


def test_voc_by_hand() -> None:
    # ten objects in a row; right, right, wrong, right: precision 1, 1, 2/3, 3/4 at recall .1, .2, .2, .3
    truth = GroundTruth([[20 * i, 0, 20 * i + 10, 10] for i in range(10)], [0] * 10)
    found = Predictions(
        [[0, 0, 10, 10], [20, 0, 30, 10], [0, 0, 10, 10], [40, 0, 50, 10]], [0.9, 0.8, 0.7, 0.6], [0] * 4
    )
    curve = voc_curve([truth], [found], 0)
    assert curve.precision.tolist() == [1, 1, 2 / 3, 3 / 4]
    assert curve.recall.tolist() == [0.1, 0.2, 0.2, 0.3]
    assert curve.ap() == pytest.approx(0.1 + 0.1 + 0.1 * 0.75)
    assert curve.ap11() == pytest.approx((1 + 1 + 1 + 0.75) / 11)  # recall 0.3 counts: 3 of 10


def test_voc_takes_the_best_overlap_though_it_is_taken_and_coco_the_best_free_one() -> None:
    truth = GroundTruth([[0, 0, 10, 10], [0, 2, 10, 12]], [0, 0])
    found = Predictions([[0, 0, 10, 10], [0, 0.5, 10, 10.5]], [0.9, 0.8], [0, 0])
    assert voc_curve([truth], [found], 0).right.tolist() == [1, 1]
    point = operating_points([truth], [found], ["a"], 0.5)[0]
    assert (point.found, point.wrong, point.missed) == (2, 0, 0)


def test_what_is_set_aside_counts_neither_way() -> None:
    # twice on a difficult object, once beside it
    aside = [[50, 50, 100, 100]]
    truth = GroundTruth([[0, 0, 10, 10]], [0], None, aside, [0])
    found = Predictions([[0, 0, 10, 10], *aside, *aside, [200, 200, 210, 210]], [0.5, 0.9, 0.8, 0.7], [0] * 4)
    curve = voc_curve([truth], [found], 0)
    assert curve.scores.tolist() == [0.7, 0.5]
    assert (curve.objects, curve.ap()) == (1, 0.5)
    assert coco_ap([truth], [found], 1).mean(0.5) == pytest.approx(0.5)
    point = operating_points([truth], [found], ["a"], 0.5)[0]
    assert (point.found, point.wrong, point.missed) == (1, 1, 0)
    other_class = replace(truth, ignored_labels=[1])
    assert operating_points([other_class], [found], ["a", "b"], 0.5)[0].wrong == 3


def test_the_operating_point_by_hand() -> None:
    truths = [GroundTruth([[0, 0, 10, 10], [50, 0, 60, 10]], [0, 0]), NO_TRUTH]
    founds = [
        Predictions([[0, 0, 10, 10], [50, 0, 60, 10]], [0.9, 0.3], [0, 0]),
        Predictions([[0, 0, 5, 5]], [0.6], [0]),
    ]
    (point,) = operating_points(truths, founds, ["a"], 0.5)
    assert (point.found, point.wrong, point.missed) == (1, 1, 1)
    assert (point.precision.value, point.recall.value, point.f1) == (0.5, 0.5, 0.5)
    assert (point.recall.low, point.recall.high) == pytest.approx((0.0126, 0.9874), abs=1e-4)
    assert operating_points(truths, founds, ["a"], 0.3)[0].found == 2  # a score at the threshold is shown
    with pytest.raises(UsageError, match="2 thresholds"):
        operating_points(truths, founds, ["a"], [0.5, 0.5])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([None, 0.3, 0.6, 0.95]))
def test_the_best_threshold_is_the_best_of_all(seed: int, precision: float | None) -> None:
    """Against trying a threshold below every score: of the highest F1, or finding most with enough right ones."""
    truths, founds = case(seed, pictures=5)
    scores = np.unique(np.concatenate([f.scores for f in founds]))
    tried = [operating_points(truths, founds, "abc", float(score)) for score in scores]
    for label in range(3):
        chosen = best_threshold(truths, founds, label, precision)
        points = [row[label] for row in tried if row[label].f1 is not None and row[label].found]
        if chosen is None:
            assert not points
            continue
        found = operating_points(truths, founds, "abc", chosen)[label]
        enough = [p for p in points if precision is not None and p.precision.value >= precision]  # type: ignore[operator]
        if enough:
            assert found.precision.value >= precision  # type: ignore[operator]
            assert found.found == max(p.found for p in enough)
        else:
            assert found.f1 == pytest.approx(max(p.f1 for p in points))  # type: ignore[type-var]


def test_confusion_by_hand() -> None:
    truth = GroundTruth([[0, 0, 10, 10], [20, 0, 30, 10], [40, 0, 50, 10]], [0, 1, 1], None, [[60, 0, 90, 30]], [0])
    found = Predictions(
        [[0, 0, 10, 10], [20, 0, 30, 10], [100, 0, 110, 10], [65, 5, 75, 15], [40, 0, 50, 10]],
        [0.9, 0.8, 0.7, 0.6, 0.1],
        [0, 0, 1, 1, 1],
    )
    # a as a; b as a; b missed (below the threshold); one b where nothing is; the box in the crowd not counted
    assert confusion([truth], [found], 2, 0.5).tolist() == [[1, 0, 0], [1, 0, 1], [0, 1, 0]]
    assert confusion([truth], [found], 2, 0.1)[1].tolist() == [1, 1, 0]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_what_always_holds(seed: int) -> None:
    truths, founds = case(seed, pictures=4)
    report = detection_report(truths, founds, "abc", threshold=0.4)
    for _, averages in report.classes:
        for value in vars(averages).values():
            assert value is None or 0 <= value <= 1
        if averages.ap is not None and averages.ap50 is not None and averages.ap75 is not None:
            assert averages.ap75 <= averages.ap50 + 1e-12
            assert averages.ap <= averages.ap50 + 1e-12
    for point, objects in zip(report.operating, report.objects, strict=True):
        assert point.found + point.missed == objects
    table = confusion(truths, founds, 3, 0.4)
    assert table[:3].sum(axis=1).tolist() == list(report.objects)
    # the order of pictures changes nothing where no scores tie
    founds = [
        Predictions(f.boxes, np.random.default_rng(i).random(len(f.scores)), f.labels) for i, f in enumerate(founds)
    ]
    forth, back = coco_ap(truths, founds, 3), coco_ap(truths[::-1], founds[::-1], 3)
    np.testing.assert_allclose(forth.precision, back.precision)
    voc = [c.ap11() for c in voc_curves(truths, founds, 3)]
    assert voc == [c.ap11() for c in voc_curves(truths[::-1], founds[::-1], 3)]


def test_the_report_is_plain_data() -> None:
    truths, founds = case(3)
    report = detection_report(truths, founds, ["a", "b", "c"])
    again = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert again["n"] == 8
    assert again["mean"]["ap50"] == report.mean.ap50
    assert again["thresholds"] == [best_threshold(truths, founds, label) for label in range(3)]
    assert [p["threshold"] for p in again["operating"]] == [0.5 if t is None else t for t in again["thresholds"]]


@pytest.mark.parametrize(
    ("truths", "founds", "got"),
    [
        ([], [], "0 pictures"),
        ([NO_TRUTH], [], "1 picture with 0 results"),
        ([GroundTruth([[0, 0, 1, 1]], [2])], [NOTHING], "2 in picture 0"),
        ([NO_TRUTH], [Predictions([[0, 0, 1, 1]], [0.5], [-1])], "-1 in picture 0"),
    ],
)
def test_what_cannot_be_compared(truths: list[GroundTruth], founds: list[Predictions], got: str) -> None:
    with pytest.raises(DataError, match=got):
        detection_report(truths, founds, ["a", "b"])


def test_boxes_that_do_not_belong_together() -> None:
    for make in (
        lambda: Predictions([[0, 0, 1, 1]], [0.5, 0.5], [0]),
        lambda: Predictions([[0, 0, 1, 1]], [np.nan], [0]),
        lambda: Predictions([[0, 0, np.inf, 1]], [0.5], [0]),
        lambda: Predictions([[0, 0, 1, 1]], [0.5], [0.0]),
        lambda: GroundTruth([[0, 0, 1]], [0]),
        lambda: GroundTruth([[0, 0, 1, 1]], [0], [1, 2]),
    ):
        with pytest.raises(DataError):
            make()


# What Cartucho/mAP's own tests/test_mAP.py says of this set, in percent with two digits (area under the curve, IoU 0.5)
PUBLISHED = {
    "backpack": 22.73, "bed": 85.94, "book": 17.52, "bookcase": 14.29, "bottle": 23.48, "bowl": 31.86,
    "cabinetry": 7.93, "chair": 53.84, "coffeetable": 4.55, "countertop": 19.05, "cup": 42.50, "diningtable": 39.66,
    "doll": 0.00, "door": 20.69, "heater": 7.69, "nightstand": 71.43, "person": 42.86, "pictureframe": 17.71,
    "pillow": 13.01, "pottedplant": 62.31, "remote": 73.21, "shelf": 0.00, "sink": 16.33, "sofa": 90.48, "tap": 1.39,
    "tincan": 0.00, "tvmonitor": 63.25, "vase": 18.75, "wastecontainer": 45.45, "windowblind": 23.53,
}  # fmt: skip
PUBLISHED_MEAN = 31.05


@pytest.mark.skipif(not (REAL / "map-reference").is_dir(), reason="EDGEKIT_DATA is not set: no published VOC run")
def test_voc_ap_equals_the_published_values() -> None:
    names = sorted(PUBLISHED)
    truths, founds = [], []

    def rows(path: Path) -> list[list[str]]:
        return [line.split() for line in path.read_text().splitlines() if line.strip()]

    for file in sorted((REAL / "map-reference" / "ground-truth").glob("*.txt")):
        # whole pixels, both ends included: the left and upper end is one less in continuous pixels
        objects, detected = rows(file), rows(file.parents[1] / "detection-results" / file.name)
        assert {r[0] for r in objects} <= set(names)
        detected = [r for r in detected if r[0] in names]  # classes that no picture has: not evaluated there either
        one_less = np.array([1, 1, 0, 0])
        boxes = np.array([r[1:5] for r in objects], dtype=float).reshape(-1, 4) - one_less
        truths.append(GroundTruth(boxes, [names.index(r[0]) for r in objects]))
        boxes = np.array([r[2:6] for r in detected], dtype=float).reshape(-1, 4) - one_less
        founds.append(Predictions(boxes, [float(r[1]) for r in detected], [names.index(r[0]) for r in detected]))
    curves = voc_curves(truths, founds, len(names))
    found = {name: round(100 * (curve.ap() or 0), 2) for name, curve in zip(names, curves, strict=True)}
    assert found == PUBLISHED
    assert 100 * np.mean([curve.ap() for curve in curves]) == pytest.approx(PUBLISHED_MEAN, abs=0.005)


def test_without_objects_recall_is_zero_and_there_is_no_ap() -> None:
    curve = voc_curve([GroundTruth([], [])], [Predictions([[0, 0, 9, 9]], [0.5], [0])], 0)
    assert (curve.recall.tolist(), curve.precision.tolist(), curve.objects) == ([0.0], [0.0], 0)
    assert curve.ap() is curve.ap11() is None
