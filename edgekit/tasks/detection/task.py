"""Detection: `boxes` float32 [N, K, 4], `scores` float32 [N, K] and `labels` int32 [N, K], best first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import DataError, UsageError
from edgekit.metrics.alarm import AlarmSetting
from edgekit.metrics.detection import detection_report
from edgekit.metrics.ground_truth import predictions_of
from edgekit.tasks.base import Asked, Outputs, Task
from edgekit.tasks.detection.compare import compare_found
from edgekit.tasks.detection.quality import DetectionEvaluation
from edgekit.tasks.evaluation import Answered, Evaluation, Metric, Pictures
from edgekit.tasks.protocols import GateLimits, Spec
from edgekit.tasks.stage import Stage
from edgekit.vision.decode import DEFAULT_SCORE, detections
from edgekit.vision.preprocess import geometry
from edgekit.vision.results import Detections
from edgekit.vision.spec import TensorSpec, require


class DetectionTask(Task):
    """Boxes with a class and a score each.

    `boxes` are x1 y1 x2 y2 in input pixels, `scores` 0..1, descending.
    """

    name = "detection"
    noun = "a detector"
    fields = ("max_detections", "thresholds")
    metrics = (Metric("ap", "AP"), Metric("ap50", "AP50"))
    main = "ap50"
    training_figures = ("ap50", "ap", "voc07")
    stand_in = "hive"
    truth = "boxes"
    finds = "boxes"
    shows_wrong = True
    decodes_in_graph = True
    raw_heads = True
    merges = True
    unrecorded = "whose boxes have no fixed order"
    disagreements = "Blue boxes are the reference's, orange this file's."

    def outputs(self, spec: Spec) -> tuple[TensorSpec, ...]:
        return (
            TensorSpec("boxes", "float32", ("N", spec.max_detections, 4)),
            TensorSpec("scores", "float32", ("N", spec.max_detections)),
            TensorSpec("labels", "int32", ("N", spec.max_detections)),
        )

    def check(self, spec: Spec) -> None:
        self.refuse_dimensions(spec)
        require(spec.temperature == 1, "temperature", spec.temperature, "1 for detection")
        require(
            isinstance(spec.max_detections, int) and spec.max_detections >= 1,
            "max_detections",
            spec.max_detections,
            "1 or more for detection",
        )
        ok = len(spec.thresholds) in (0, len(spec.classes)) and all(
            isinstance(t, (int, float)) and 0 <= t <= 1 for t in spec.thresholds
        )
        require(ok, "thresholds", spec.thresholds, "one number 0 to 1 a class, or none")

    def unfit_input(self, resize: str, sides: Iterable[int]) -> str:
        if resize == "crop":
            return "input.resize as letterbox or stretch: a crop would cut objects off"
        if any(side % 32 for side in sides):
            return "input sizes that are multiples of 32 for detection"
        return ""

    def decode(self, answers: Outputs, shapes: Sequence[tuple[int, ...]], spec: Spec, asked: Asked) -> list[Detections]:
        limits = spec.thresholds or (DEFAULT_SCORE,) * len(spec.classes)
        if asked.threshold is not None:
            limits = (asked.threshold,) * len(spec.classes)
        alarms = np.asarray(spec.alarm_thresholds, dtype=np.float64)
        least = np.minimum(limits, alarms).tolist() if len(alarms) else limits
        rows = zip(answers["boxes"], answers["scores"], answers["labels"], shapes, strict=False)
        results = []
        for boxes, scores, labels, shape in rows:
            place = geometry(shape, spec.preprocess)
            found = detections(boxes, scores, labels, place, shape, spec.classes, least)
            if len(alarms):
                raised = set(found.labels[found.scores >= alarms[found.labels]].tolist())
                kept = found[found.scores >= np.asarray(limits)[found.labels]]
                found = replace(kept, alarms=tuple(spec.classes[label] for label in sorted(raised)))
            results.append(found)
        return results

    def compare(self, name: str, reference: Outputs, candidate: Outputs, limits: GateLimits, spec: Spec) -> Stage:
        return compare_found(name, reference, candidate, limits, spec.thresholds)

    def reordered(self, answers: Outputs, ours: Sequence[str], theirs: Sequence[str | None]) -> Outputs:
        """Detections of a class that is left out get score 0, and stand behind the others."""
        places = np.array([-1 if name is None else ours.index(name) for name in theirs], dtype=np.int32)
        labels = places[answers["labels"]]
        scores = np.where(labels < 0, np.float32(0), answers["scores"])
        order = np.argsort(-scores, axis=1, kind="stable")
        moved = {"boxes": answers["boxes"], "scores": scores, "labels": np.maximum(labels, 0)}
        turned = {
            name: np.take_along_axis(values, order[..., None] if values.ndim == 3 else order, axis=1)
            for name, values in moved.items()
        }
        return {**answers, **turned}

    def figures(self, stage: Stage) -> str:
        if stage.found is None:  # a file that could not be run
            return super().figures(stage)
        return (
            f"boxes {stage.found.matched:7.2%} of {stage.found.boxes:<5} max|d score| {stage.max_abs:<9.3g}"
            f" max|d corner| {stage.found.max_shift:.2g} px" + (f"  {stage.ties} ties" if stage.ties else "")
        )

    def short(self, stage: Stage) -> dict[str, Any]:
        if stage.found is None:  # a file that could not be run
            return super().short(stage)
        return {"name": stage.name, "max_abs": stage.max_abs, "boxes_matched": stage.found.matched}

    def against(self, stage: Stage, limits: GateLimits) -> str:
        if stage.found is None:  # a file that could not be run
            return super().against(stage, limits)
        return (
            f"boxes {stage.found.matched:.2%} of at least {limits.boxes_matched:.2%}, max|d score| {stage.max_abs:.3g} "
            f"of at most {limits.score_shift:g}"
        )

    def limit(self, limits: GateLimits) -> float:
        return limits.score_shift

    def drift(self, wanted: Outputs, given: Outputs, limits: GateLimits, spec: Spec) -> tuple[float, float]:
        """The share of boxes that the gate's limits give no partner; the error adds how far the scores moved."""
        stage = compare_found("search", wanted, given, limits, spec.thresholds)
        lost = 1.0 - (stage.found.matched if stage.found is not None else 0.0)
        spread = np.sort(given["scores"], 1) - np.sort(wanted["scores"], 1)
        return float((spread.astype(np.float64) ** 2).mean()) + lost, 100 * lost

    def class_scores(self, answers: Outputs, classes: int) -> NDArray[np.float64]:
        best = [np.where(answers["labels"] == label, answers["scores"], 0).max(1) for label in range(classes)]
        return np.stack(best, axis=1).astype(np.float64)

    def unknown(self, pictures: Pictures) -> DataError:
        return DataError(
            "The pictures have no boxes, so nothing can be counted as found.",
            got=f"layout {pictures.layout!r}",
            expected="YOLO, Pascal VOC or COCO",
            fix="edgekit predict marks pictures without measuring",
        )

    def anything(self, pictures: Pictures) -> bool:
        return sum(pictures.box_counts) > 0

    def alarms(self, spec: Spec, evaluation: Evaluation | None, recall: float | None) -> tuple[AlarmSetting, ...]:
        thresholds = spec.alarm_thresholds or spec.thresholds or (DEFAULT_SCORE,) * len(spec.classes)
        chosen = "the model's" if spec.alarm_thresholds else "that of its boxes: the model has none for the alarm"
        if evaluation is None:
            if recall is not None:
                raise UsageError("A recall takes pictures that have the class.", fix="--data DIR, labelled")
            return tuple(AlarmSetting(*pair, chosen, None) for pair in zip(spec.classes, thresholds, strict=True))
        assert isinstance(evaluation, DetectionEvaluation)
        if recall is None:
            return tuple(
                AlarmSetting(name, at, chosen, evaluation.alarm_at(label, at))
                for label, (name, at) in enumerate(zip(spec.classes, thresholds, strict=True))
            )
        found = [(name, evaluation.threshold_for(label, recall)) for label, name in enumerate(spec.classes)]
        return tuple(
            AlarmSetting(name, at, f"for a recall of {recall:g}", evaluation.alarm_at(label, at))
            for label, (name, at) in enumerate(found)
            if at is not None
        )

    def evaluate(self, answered: Iterable[Answered], spec: Spec) -> DetectionEvaluation:
        truths, founds = [], []
        for one in answered:
            row = {name: values[None] for name, values in one.outputs.items()}
            (found,) = self.decode(row, [one.shape], spec, Asked(threshold=0.0))
            founds.append(predictions_of(found))
            truths.append(one.truth.ground_truth())
        alarms = spec.alarm_thresholds
        report = detection_report(truths, founds, spec.classes, spec.thresholds or None, alarm_thresholds=alarms)
        return DetectionEvaluation(report, tuple(truths), tuple(founds), spec.thresholds)


TASK = DetectionTask()
