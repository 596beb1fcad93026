"""Accuracy of a model on labelled pictures, whatever runs it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data import Dataset, Sample
from edgekit.errors import DataError, PictureError
from edgekit.metrics.classification import ClassificationReport, Rate, classification_report
from edgekit.metrics.detection import DetectionReport, GroundTruth, Predictions, detection_report
from edgekit.metrics.ground_truth import predictions_of
from edgekit.predictor import Frame, Predictor
from edgekit.progress import track


@dataclass(frozen=True)
class Evaluation:
    """A report and the answers it was made from.

    Attributes:
        report: top-1, top-5, per class, with 95 % Clopper-Pearson intervals.
        logits: float32 [N, C], in the order of the data set.
        unread: names of the pictures that could not be read, with the reason; they are not among the N.
    """

    report: ClassificationReport
    logits: NDArray[np.float32]
    unread: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: shares as numbers, intervals beside them, classes without pictures left out.

        `balanced` is null where a class has no picture.
        """
        report = self.report
        return {
            "n": report.n,
            **_flat("top1", report.top1),
            **_flat(f"top{report.k}", report.top5),
            "balanced": report.balanced,
            "confidence": 0.95,
            "not_finite": report.not_finite,
            "unread": list(self.unread),
            "classes": {c.label: {"n": c.n, **_flat("top1", c.top1)} for c in report.classes if c.n},
        }


def _flat(name: str, rate: Rate) -> dict[str, Any]:
    interval = None if rate.interval is None else list(rate.interval)
    return {name: rate.value, f"{name}_hits": rate.hits, f"{name}_interval": interval}


@dataclass(frozen=True)
class DetectionEvaluation:
    """A detector's report and the detections it was made from.

    Attributes:
        report: AP, the operating point and the alarm of each class.
        truths, founds: one a picture, in the order of the data set, in the picture's pixels.
        unread: names of the pictures that could not be read, with the reason; they are not among the N.
    """

    report: DetectionReport
    truths: tuple[GroundTruth, ...]
    founds: tuple[Predictions, ...]
    unread: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; what was not measured is null."""
        return {**self.report.to_dict(), "confidence": 0.95, "unread": list(self.unread)}


def evaluate(predictor: Predictor, dataset: Dataset) -> Evaluation | DetectionEvaluation:
    """Runs every picture of a data set, a few in memory at a time.

    Raises:
        DataError: pictures without the labels that the model's task needs, or none that can be read.
    """
    if predictor.spec.task == "detection":
        return evaluate_detections(predictor, dataset)
    return evaluate_classes(predictor, dataset)


def evaluate_classes(predictor: Predictor, dataset: Dataset) -> Evaluation:
    """`evaluate` of a classifier on pictures with one label each."""
    if not dataset.labelled:
        raise DataError(
            "The pictures have no labels, so nothing can be counted as right.",
            got=f"layout {dataset.layout!r}",
            expected="class folders, or a csv of file,class_index",
            fix="edgekit predict labels pictures without measuring",
        )
    known: list[Sample] = []
    unread: list[str] = []
    rows = list(predictor.stream(_frames(dataset, known, unread)))
    if not rows:
        raise DataError("None of the pictures can be read.", got="; ".join(unread[:3]), expected="readable pictures")
    logits = np.stack(rows)
    labels = [sample.label for sample in known if sample.label is not None]
    return Evaluation(classification_report(logits, labels, predictor.spec.classes), logits, tuple(unread))


def evaluate_detections(predictor: Predictor, dataset: Dataset) -> DetectionEvaluation:
    """`evaluate` of a detector on pictures whose objects are known, at the thresholds of its spec."""
    if not dataset.boxed:
        raise DataError(
            "The pictures have no boxes, so nothing can be counted as found.",
            got=f"layout {dataset.layout!r}",
            expected="YOLO, Pascal VOC or COCO",
            fix="edgekit predict marks pictures without measuring",
        )
    known: list[Sample] = []
    unread: list[str] = []
    founds = [
        predictions_of(found) for found in predictor.stream_detections(_frames(dataset, known, unread), threshold=0.0)
    ]
    if not founds:
        raise DataError("None of the pictures can be read.", got="; ".join(unread[:3]), expected="readable pictures")
    truths = [sample.ground_truth() for sample in known]
    report = detection_report(truths, founds, predictor.spec.classes, predictor.spec.thresholds or None)
    return DetectionEvaluation(report, tuple(truths), tuple(founds), tuple(unread))


def _frames(dataset: Dataset, known: list[Sample], unread: list[str]) -> Iterator[Frame]:
    """The frames that can be read; `known` gets their samples, `unread` the names of the others."""
    for sample in track(dataset, "looking at pictures"):
        try:
            frame = sample.read()
        except PictureError as error:
            unread.append(f"{sample.name}: {error.got or error.what}")
            continue
        known.append(sample)
        yield frame
