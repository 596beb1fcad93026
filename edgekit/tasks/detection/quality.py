"""How good a detector is: average precision, boxes at a threshold and the alarm, and beside another one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.metrics.alarm import AlarmPoint, judged, point_at, threshold_for
from edgekit.metrics.average_precision.intervals import Parts, ap_difference, ap_interval, matched_parts
from edgekit.metrics.bootstrap import of_share
from edgekit.metrics.detection import DetectionReport
from edgekit.metrics.ground_truth import GroundTruth, Predictions
from edgekit.metrics.matching import best_pairs
from edgekit.metrics.mistakes import KINDS, Mistake, Mistakes, mistakes
from edgekit.metrics.operating_point import BoxPoint
from edgekit.screen import count_of
from edgekit.tasks.detection.text import KIND_WORDS, mistake_lines, report_lines
from edgekit.tasks.evaluation import WORST, DifferingPicture, Evaluation, MetricValues, Shown, SideBySide, WrongAnswer
from edgekit.vision.boxes import iou_matrix
from edgekit.vision.decode import DEFAULT_SCORE
from edgekit.vision.image import Frame

MATCH = 0.9  # IoU from which on two models' boxes are the same box, as at the gate


@dataclass(frozen=True)
class DetectionEvaluation(Evaluation):
    """A detector's report and the detections it was made from.

    Attributes:
        report: AP, the operating point and the alarm of each class.
        truths, founds: one a picture, in the order of the data set, in the picture's pixels.
        thresholds: the model's own, one a class; none: a box is shown from 0.3 on.
    """

    report: DetectionReport
    truths: tuple[GroundTruth, ...]
    founds: tuple[Predictions, ...]
    thresholds: tuple[float, ...] = ()

    @property
    def main(self) -> float | None:
        return self.report.mean.ap50

    @property
    def classes(self) -> dict[str, float | None]:
        return {name: averages.ap50 for name, averages in self.report.classes}

    def figures(self) -> MetricValues:
        found = self.report
        metrics = {}
        for name in ("ap", "ap50"):
            value = getattr(found.mean, name)
            if value is not None:
                metrics[name] = ap_interval(self._parts(name == "ap50"), value)
        curves = {points[0].label: drawn for points in found.curves if (drawn := _drawn(points))}
        operating = {point.label: own for point in found.operating for own in _drawn([point])}
        return MetricValues(
            n=found.n,
            metrics=metrics,
            class_counts={name: n for (name, _), n in zip(found.classes, found.objects, strict=True)},
            curves=curves,
            operating=operating,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; what was not measured is null."""
        names = list(self.classes)
        wrong = {
            kind: {
                "ap50": self.mistakes.costs[kind],
                "boxes": {name: self._shown_mistakes.count(kind, label) for label, name in enumerate(names)},
            }
            for kind in KINDS
        }
        return {**self.report.to_dict(), "mistakes": wrong, "confidence": 0.95, "unread": list(self.unread)}

    def lines(self, model: str) -> list[str]:
        wrong = mistake_lines(self.mistakes, self._shown_mistakes, list(self.classes))
        return [*report_lines(self.report, model), *wrong]

    @cached_property
    def mistakes(self) -> Mistakes:
        """What all of its boxes get wrong, whatever their score."""
        return mistakes(self.truths, self.founds, len(self.report.classes))

    @cached_property
    def _at_threshold(self) -> tuple[Predictions, ...]:
        limits = np.array([point.threshold for point in self.report.operating])
        return tuple(_shown(found, limits) for found in self.founds)

    @cached_property
    def _shown_mistakes(self) -> Mistakes:
        return mistakes(self.truths, self._at_threshold, len(self.report.classes))

    def wrong(self, most: int) -> tuple[WrongAnswer, ...]:
        """Wrong boxes at the threshold, the surest first, and then objects not found, the largest first: a quarter of
        them where there are enough of both."""
        boxes = [m for m in self._shown_mistakes.wrong if m.kind != "missed"]
        missed = [m for m in self._shown_mistakes.wrong if m.kind == "missed"]
        missed.sort(key=lambda m: -float(self.truths[m.picture].areas[m.object]))
        boxes = boxes[: max(most - len(missed), most - most // 4)]
        return tuple(self._wrong(m) for m in (*boxes, *missed[: most - len(boxes)]))

    def _wrong(self, mistake: Mistake) -> WrongAnswer:
        truth, found = self.truths[mistake.picture], self._at_threshold[mistake.picture]
        names = list(self.classes)
        if mistake.found is None:
            place, says = truth.boxes[mistake.object], f"{names[mistake.label]} {KIND_WORDS['missed']}"
        else:
            place = found.boxes[mistake.found]
            says = f"{names[mistake.label]} {mistake.score:.2f}: {KIND_WORDS[mistake.kind]}"
        drawn: list[tuple[tuple[float, ...], int | None]] = [(tuple(box), None) for box in truth.boxes.tolist()]
        drawn += [(tuple(box), label) for box, label in zip(found.boxes.tolist(), found.labels.tolist(), strict=True)]
        return WrongAnswer(mistake.picture, says, tuple(place.tolist()), tuple(drawn))

    def alarm_at(self, label: int, threshold: float) -> AlarmPoint | None:
        """What the alarm of a class does at a threshold; None where no picture tells."""
        scores, present, _ = judged(self.truths, self.founds, label)
        return point_at(scores, present, threshold) if len(scores) else None

    def threshold_for(self, label: int, recall: float) -> float | None:
        """The highest threshold of a class's alarm with so large a recall; None where there is none."""
        scores, present, _ = judged(self.truths, self.founds, label)
        return threshold_for(scores, present, recall)

    def against(self, candidate: DetectionEvaluation) -> SideBySide:
        """Boxes that have the same box on the other side, AP50, and the pictures with the most that have not."""
        limits = np.asarray(self.thresholds or (DEFAULT_SCORE,) * len(self.report.classes))
        matched, seen = np.zeros(len(self.founds)), np.zeros(len(self.founds))
        for i, (x, y) in enumerate(zip(self.founds, candidate.founds, strict=True)):
            matched[i], seen[i] = matches(_shown(x, limits), _shown(y, limits))
        difference = ap_difference(self._parts(True), candidate._parts(True))
        order = [int(i) for i in np.argsort(matched - seen, kind="stable") if matched[i] < seen[i]][:WORST]
        worst = []
        for i in order:
            one, two = _shown(self.founds[i], limits), _shown(candidate.founds[i], limits)
            worst.append(
                DifferingPicture(
                    i,
                    truth=f"{count_of(len(self.truths[i].labels), 'object')}",
                    reference=f"{count_of(len(one.scores), 'box')}",
                    candidate=f"{count_of(len(two.scores), 'box')}",
                    weight=float(seen[i] - matched[i]),
                    draw=_outliner(one, two),
                )
            )
        clear = difference is not None and (difference.low > 0 or difference.high < 0)
        verdict = "no difference shown" if difference is not None else "not measured"
        if clear and difference is not None:
            verdict = "better" if difference.low > 0 else "worse"
        return SideBySide(of_share(matched, seen), difference, verdict, worst=tuple(worst))

    def _parts(self, only_half: bool) -> Parts:
        return matched_parts(self.truths, self.founds, len(self.report.classes), only_half)


def _drawn(points: Sequence[BoxPoint]) -> list[Shown]:
    """Those that have a recall and a precision: there are objects, and some box is shown."""
    return [
        Shown(point.threshold, point.recall.value, point.precision.value)
        for point in points
        if point.recall.value is not None and point.precision.value is not None
    ]


def matches(a: Predictions, b: Predictions) -> tuple[float, float]:
    """(boxes with a partner, boxes) of two results of one picture, both sides counted: same class, IoU >= 0.9."""
    total = float(len(a.scores) + len(b.scores))
    if not len(a.scores) or not len(b.scores):
        return 0.0, total
    overlap = iou_matrix(a.boxes, b.boxes) * (np.asarray(a.labels)[:, None] == np.asarray(b.labels)[None, :])
    return 2.0 * len(best_pairs(overlap, MATCH)), total


def _shown(found: Predictions, limits: NDArray[Any]) -> Predictions:
    keep = found.scores >= limits[found.labels] if len(found.labels) else np.zeros(0, dtype=bool)
    return Predictions(found.boxes[keep], found.scores[keep], found.labels[keep])


def _outliner(reference: Predictions, candidate: Predictions) -> Any:
    """Draws blue the reference's boxes, orange the candidate's."""

    def draw(frame: Frame) -> Frame:
        picture = np.array(frame, copy=True)
        line = max(2, round(max(frame.shape[:2]) / 120))
        for found, colour in ((reference, (214, 140, 40)), (candidate, (0, 130, 240))):
            for x1, y1, x2, y2 in np.asarray(found.boxes).round().astype(int).tolist():
                x1, y1 = max(0, x1), max(0, y1)
                picture[y1 : y1 + line, x1:x2] = colour
                picture[max(y1, y2 - line) : y2, x1:x2] = colour
                picture[y1:y2, x1 : x1 + line] = colour
                picture[y1:y2, max(x1, x2 - line) : x2] = colour
        return picture

    return draw
