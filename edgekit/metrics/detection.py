"""How good a detector is, in one report: COCO and VOC average precision, boxes at a threshold, and the alarm.

ground_truth.py has what is compared; average_precision, operating_point.py and alarm.py what is computed.
numpy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.metrics.alarm import LIMITS, AlarmReport, alarm_reports
from edgekit.metrics.average_precision.coco import coco_ap
from edgekit.metrics.average_precision.voc import voc_curves
from edgekit.metrics.classification import plain
from edgekit.metrics.ground_truth import GroundTruth, Predictions, check_pairs
from edgekit.metrics.operating_point import BoxPoint, best_threshold, box_curves, confusion, operating_points

__all__ = [
    "Averages",
    "BoxPoint",
    "DetectionReport",
    "GroundTruth",
    "Predictions",
    "confusion",
    "detection_report",
    "operating_points",
]


@dataclass(frozen=True)
class Averages:
    """Average precision 0..1; None where there is no object to find.

    `ap` is the mean over IoU 0.50:0.95, `ap50` and `ap75` at one IoU, `small`, `medium` and `large` are `ap` of objects
    up to 32 x 32, up to 96 x 96 and beyond, in square pixels (COCO). `voc07` has 11 points and `voc` the whole area,
    at IoU 0.5 (Pascal VOC).
    """

    ap: float | None
    ap50: float | None
    ap75: float | None
    small: float | None
    medium: float | None
    large: float | None
    voc07: float | None
    voc: float | None


@dataclass(frozen=True)
class DetectionReport:
    """What a detector does on pictures whose objects are known.

    Attributes:
        n: pictures.
        objects, ignored: of each class, to be found, and set aside (crowds, difficult ones).
        mean: over the classes that have objects.
        classes: name and averages of each class, in order.
        operating: of each class, at its threshold.
        alarms: of each class, by picture.
        thresholds: that these pictures propose for each class, by the F1 of its boxes; None where they propose none.
        curves: of each class its boxes at a few scores, from the lowest on.
    """

    n: int
    objects: tuple[int, ...]
    ignored: tuple[int, ...]
    mean: Averages
    classes: tuple[tuple[str, Averages], ...]
    operating: tuple[BoxPoint, ...]
    alarms: tuple[AlarmReport, ...]
    thresholds: tuple[float | None, ...]
    curves: tuple[tuple[BoxPoint, ...], ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; what was not measured is null."""
        return {**plain(self), "thresholds": list(self.thresholds)}


def detection_report(
    truths: Sequence[GroundTruth],
    founds: Sequence[Predictions],
    classes: Sequence[str],
    threshold: float | Sequence[float] | None = None,
    precision: float | None = None,
    alarm_thresholds: Sequence[float] = (),
    alarm_limits: Sequence[float] = LIMITS,
) -> DetectionReport:
    """Everything about the detections `founds` of pictures with the objects `truths`.

    Args:
        truths: one a picture (`Sample.ground_truth()`).
        founds: one a picture, in the same order; for AP with low scores too, down to 0.01 or less.
        classes: names in the order of the labels.
        threshold: of the operating point, one for all or one a class. Without it each class takes what these same
            pictures propose (`best_threshold`), 0.5 where they propose none.
        precision: of the proposed thresholds; None: those of the highest F1.
        alarm_thresholds: the model's own, one a class; none: it has none.
        alarm_limits: of the rate of false alarms, at which the alarm is told.

    Raises:
        DataError: not one result a picture, no picture, or a label that is no class.
        UsageError: thresholds that do not fit the classes.
    """
    check_pairs(truths, founds, len(classes))
    coco = coco_ap(truths, founds, len(classes))
    curves = voc_curves(truths, founds, len(classes))
    alarms = alarm_reports(truths, founds, classes, alarm_limits, own=alarm_thresholds)

    def averages(label: int | None) -> Averages:
        of = curves if label is None else (curves[label],)
        return Averages(
            ap=coco.mean(label=label),
            ap50=coco.mean(0.5, label=label),
            ap75=coco.mean(0.75, label=label),
            small=coco.mean(area="small", label=label),
            medium=coco.mean(area="medium", label=label),
            large=coco.mean(area="large", label=label),
            voc07=_mean([c.ap11() for c in of]),
            voc=_mean([c.ap() for c in of]),
        )

    proposed = tuple(best_threshold(truths, founds, label, precision) for label in range(len(classes)))
    if threshold is None:
        threshold = [0.5 if one is None else one for one in proposed]
    return DetectionReport(
        n=len(truths),
        objects=_counted([t.labels for t in truths], len(classes)),
        ignored=_counted([t.ignored_labels for t in truths], len(classes)),
        mean=averages(None),
        classes=tuple((name, averages(label)) for label, name in enumerate(classes)),
        operating=operating_points(truths, founds, classes, threshold),
        alarms=alarms,
        thresholds=proposed,
        curves=box_curves(truths, founds, classes),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None


def _counted(labels: Sequence[NDArray[np.int64]], n: int) -> tuple[int, ...]:
    return tuple(np.bincount(np.concatenate(labels), minlength=n).tolist())
