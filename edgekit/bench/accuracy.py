"""Accuracy of a model on labelled pictures, whatever runs it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data import Dataset
from edgekit.errors import DataError, PictureError
from edgekit.predictor import Frame, Predictor
from edgekit.vision.metrics import ClassificationReport, Rate, classification_report


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
        """Plain data for JSON: shares as numbers, intervals beside them, classes without pictures left out."""
        report = self.report
        return {
            "n": report.n,
            **_flat("top1", report.top1),
            **_flat(f"top{report.k}", report.top5),
            "confidence": 0.95,
            "not_finite": report.not_finite,
            "unread": list(self.unread),
            "classes": {c.label: {"n": c.n, **_flat("top1", c.top1)} for c in report.classes if c.n},
        }


def _flat(name: str, rate: Rate) -> dict[str, Any]:
    return {name: rate.value, f"{name}_hits": rate.hits, f"{name}_interval": [rate.low, rate.high]}


def evaluate(predictor: Predictor, dataset: Dataset) -> Evaluation:
    """Runs every picture of a labelled data set, a few in memory at a time.

    Raises:
        DataError: pictures without labels, or none that can be read.
    """
    if not dataset.labelled:
        raise DataError(
            "The pictures have no labels, so nothing can be counted as right.",
            got=f"layout {dataset.layout!r}",
            expected="class folders, or a csv of file,class_index",
            fix="edgekit predict labels pictures without measuring",
        )
    labels: list[int] = []
    unread: list[str] = []

    def frames() -> Iterator[Frame]:
        for sample in dataset:
            try:
                frame = sample.read()
            except PictureError as error:
                unread.append(f"{sample.name}: {error.got or error.what}")
                continue
            assert sample.label is not None
            labels.append(sample.label)
            yield frame

    rows = list(predictor.stream(frames()))
    if not rows:
        raise DataError("None of the pictures can be read.", got="; ".join(unread[:3]), expected="readable pictures")
    logits = np.stack(rows)
    return Evaluation(classification_report(logits, labels, predictor.spec.classes), logits, tuple(unread))
