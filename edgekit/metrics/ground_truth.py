"""What is known to be in a picture, and what was found in it: the two sides of every detection metric. numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgekit.errors import DataError
from edgekit.screen import count_of
from edgekit.vision.boxes import area
from edgekit.vision.results import Detections


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """The objects of one picture. Whatever is array-like is taken; it is stored as float64 and int64.

    Attributes:
        boxes: [M, 4] x1 y1 x2 y2, continuous pixels.
        labels: [M], class indices.
        areas: [M] square pixels for COCO's small/medium/large; None for the boxes' own.
        ignored_boxes, ignored_labels: [K, 4] and [K], crowds and difficult objects; None for none.

    Raises:
        DataError: shapes that do not belong together.
    """

    boxes: Any
    labels: Any
    areas: Any = None
    ignored_boxes: Any = None
    ignored_labels: Any = None

    def __post_init__(self) -> None:
        boxes, labels = _matched(self.boxes, self.labels, "boxes", "labels")
        areas = area(boxes) if self.areas is None else np.asarray(self.areas, dtype=np.float64)
        if areas.shape != labels.shape:
            raise _unmatched(f"areas {list(areas.shape)}", f"[{len(labels)}]")
        none = self.ignored_boxes is None
        ignored, ignored_labels = _matched(
            () if none else self.ignored_boxes, () if none else self.ignored_labels, "ignored_boxes", "ignored_labels"
        )
        values = (boxes, labels, areas, ignored, ignored_labels)
        for name, value in zip(("boxes", "labels", "areas", "ignored_boxes", "ignored_labels"), values, strict=True):
            object.__setattr__(self, name, value)


@dataclass(frozen=True, eq=False)
class Predictions:
    """The detections of one picture, in any order.

    Attributes:
        boxes: [D, 4] x1 y1 x2 y2, the same pixels as the truth's.
        scores: [D], finite; the larger the surer.
        labels: [D], class indices.

    Raises:
        DataError: shapes that do not belong together, or a score or box that is not finite.
    """

    boxes: Any
    scores: Any
    labels: Any

    def __post_init__(self) -> None:
        boxes, labels = _matched(self.boxes, self.labels, "boxes", "labels")
        scores = np.asarray(self.scores, dtype=np.float64).reshape(-1)
        if scores.shape != labels.shape:
            raise _unmatched(f"scores {list(scores.shape)}", f"[{len(labels)}]")
        if not np.isfinite(scores).all() or not np.isfinite(boxes).all():
            raise DataError(
                "A detection is not finite.",
                got="NaN or infinity in a score or box",
                expected="finite numbers",
                fix="verify the model: edgekit verify; a half-precision overflow is the usual cause",
            )
        for name, value in (("boxes", boxes), ("scores", scores), ("labels", labels)):
            object.__setattr__(self, name, value)


def predictions_of(detections: Detections) -> Predictions:
    """What a predictor answered, for the detection metrics."""
    return Predictions(detections.boxes, detections.scores, detections.labels)


def check_pairs(truths: Sequence[GroundTruth], founds: Sequence[Predictions], n_classes: int) -> None:
    """Raises DataError unless each `GroundTruth` has its `Predictions`, and every label is below `n_classes`."""
    if len(truths) != len(founds) or not truths:
        raise _unmatched(
            f"{count_of(len(truths), 'picture')} with {len(founds)} results", "one result a picture, one at least"
        )
    for i, (truth, found) in enumerate(zip(truths, founds, strict=True)):
        for labels in (truth.labels, truth.ignored_labels, found.labels):
            wrong = (labels < 0) | (labels >= n_classes)
            if wrong.any():
                raise DataError(
                    "A label is not one of the model's classes.",
                    got=f"{labels[wrong][0]} in picture {i}",
                    expected=f"0 to {n_classes - 1}",
                    fix="check that the data and the model have the same classes",
                )


def _matched(
    boxes: ArrayLike, labels: ArrayLike, name: str, label_name: str
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    xyxy, index = np.asarray(boxes, dtype=np.float64), np.asarray(labels)
    if xyxy.size == 0:
        xyxy = xyxy.reshape(0, 4)
    if index.size == 0:
        index = np.zeros(0, dtype=np.int64)
    if xyxy.ndim != 2 or xyxy.shape[1] != 4 or index.shape != xyxy.shape[:1] or index.dtype.kind not in "iu":
        got = f"{name} {list(xyxy.shape)}, {label_name} {index.dtype} {list(index.shape)}"
        raise _unmatched(got, "[M, 4] and integers [M]")
    return xyxy, index.astype(np.int64)


def _unmatched(got: str, expected: str) -> DataError:
    return DataError("Boxes and what goes with them do not belong together.", got=got, expected=expected)
