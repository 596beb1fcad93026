"""Precision and recall by the threshold: from a detector's answers into bench.json, and from there onto the page."""

from __future__ import annotations

import re

import numpy as np

from edgekit.benchmark.quality.agreement import Answers, accuracy
from edgekit.benchmark.report.page import as_html
from edgekit.benchmark.schema import Accuracy, Report
from edgekit.metrics.detection import detection_report
from edgekit.metrics.ground_truth import GroundTruth, Predictions
from edgekit.tasks.detection.quality import DetectionEvaluation
from tests.benchmark.conftest import made_report, made_row, noisy

CLASSES = ("bee", "hornet", "moth")


def measured(thresholds: tuple[float, ...]) -> Accuracy:
    """Four bees, of which three are found at 0.9, 0.55 and 0.35, and one false box at 0.65; a hornet that is missed."""
    places = np.float32([[10 * i, 0, 10 * i + 8, 8] for i in range(6)])
    truth = GroundTruth(places[[0, 1, 2, 3, 5]], np.int64([0, 0, 0, 0, 1]))
    found = Predictions(places[[0, 1, 2, 4]], np.float32([0.9, 0.55, 0.35, 0.65]), np.int64([0, 0, 0, 0]))
    report = detection_report([truth], [found], CLASSES, thresholds)
    return accuracy(Answers("detection", DetectionEvaluation(report, (truth,), (found,), thresholds), ()))


def detectors() -> Report:
    rows = [made_row("net", noisy(0)), made_row("net.int8", noisy(1), precision="int8"),
            made_row("net", noisy(2), backend="openvino")]  # fmt: skip
    for row in rows:
        row.accuracy = measured((0.4, 0.5, 0.5))
    return made_report(*rows)


def test_a_detector_s_curves_are_in_the_report() -> None:
    found = measured((0.4, 0.5, 0.5))
    bees = {at.threshold: (at.recall, at.precision) for at in found.curves["bee"]}
    assert bees[0.3] == (0.75, 0.75)
    assert bees[0.5] == (0.5, 2 / 3)
    assert bees[0.8] == (0.25, 1.0)
    assert (found.operating["bee"].threshold, found.operating["bee"].recall) == (0.4, 0.5)
    assert list(found.curves) == ["bee"]  # no box of a hornet is shown, and there is no moth
    assert list(found.operating) == ["bee"]


def test_they_are_drawn_with_the_model_s_own_threshold() -> None:
    page = as_html(detectors())
    cards = re.findall(r"<figure[^>]*><h3>Precision and recall: ([^<]+)</h3>(.*?)</figure>", page)
    assert [name for name, _ in cards] == ["fp32 · onnxruntime", "int8 · onnxruntime", "fp32 · openvino"]
    (wide, *_) = re.findall(r"<svg.*?</svg>", cards[0][1])
    assert len(re.findall(r'cls="d|class="d', wide)) == len(measured((0.4, 0.5, 0.5)).curves["bee"])
    assert re.findall(r'class="r s1"[^>]*><title>([^<]+)', wide) == ["bee: 66.7% at 50"]
    assert ['class="paper"' in part for _, part in cards] == [True, False, False]  # once on paper
    assert "<h3>Precision and recall" not in as_html(made_report(made_row("net", noisy(0))))


def test_reports_of_before_are_read() -> None:
    content = detectors().model_dump(by_alias=True, mode="json")
    for row in content["rows"]:
        del row["accuracy"]["curves"], row["accuracy"]["operating"]
    assert "<h3>Precision and recall" not in as_html(Report.model_validate(content))
