"""Classification: `logits` float32 [N, C], one row a picture; the largest one is the picture's class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import DataError
from edgekit.metrics.classification import classification_report
from edgekit.tasks.base import Asked, Outputs, Task
from edgekit.tasks.classification_compare import compare_logits
from edgekit.tasks.classification_quality import ClassificationEvaluation
from edgekit.tasks.evaluation import Answered, Metric, Pictures
from edgekit.tasks.protocols import GateLimits, Spec
from edgekit.tasks.stage import Stage
from edgekit.vision.decode import classify, softmax
from edgekit.vision.results import Classification
from edgekit.vision.spec import TensorSpec, require


class ClassificationTask(Task):
    """One label a picture."""

    name = "classification"
    noun = "a classifier"
    metrics = (Metric("top1", "top-1", rate=True), Metric("top5", "top-5", rate=True))
    main = "top1"
    finds = "label"
    shows_wrong = True
    training_figures = ("top1", "balanced", "nll_calibrated")
    unrecorded = ""
    attackable = True
    fits_head = True

    def outputs(self, spec: Spec) -> tuple[TensorSpec, ...]:
        return (TensorSpec("logits", "float32", ("N", len(spec.classes))),)

    def check(self, spec: Spec) -> None:
        self.refuse_dimensions(spec)
        require(
            spec.max_detections == 0 and not spec.thresholds,
            "max_detections",
            spec.max_detections,
            "0, and no thresholds, for a classifier",
        )

    def decode(
        self, answers: Outputs, shapes: Sequence[tuple[int, ...]], spec: Spec, asked: Asked
    ) -> list[Classification]:
        return classify(answers["logits"], spec.classes, asked.top)

    def compare(self, name: str, reference: Outputs, candidate: Outputs, limits: GateLimits, spec: Spec) -> Stage:
        return compare_logits(name, reference["logits"], candidate["logits"], limits)

    def misrecorded(self, given: NDArray[Any], spec: Spec) -> list[tuple[str, NDArray[Any]]]:
        warm = f"the recorded logits are not divided by the model's temperature {spec.temperature:g}"
        return [
            ("the recorded values are probabilities: record the logits, before the softmax", softmax(given)),
            (warm, given * spec.temperature),
        ]

    def reordered(self, answers: Outputs, ours: Sequence[str], theirs: Sequence[str | None]) -> Outputs:
        return {**answers, "logits": answers["logits"][:, [theirs.index(name) for name in ours]]}

    def figures(self, stage: Stage) -> str:
        return f"max|d| {stage.max_abs:<9.3g} top-1 {stage.top1_agreement or 0.0:7.2%}"

    def short(self, stage: Stage) -> dict[str, Any]:
        return {"name": stage.name, "max_abs": stage.max_abs, "top1_agreement": stage.top1_agreement}

    def against(self, stage: Stage, limits: GateLimits) -> str:
        return (
            f"max|d| {stage.max_abs:.3g} of at most {limits.max_abs:g}, agreement {stage.top1_agreement or 0.0:.2%} of "
            f"at least {limits.top1_agreement:.2%}"
        )

    def drift(self, wanted: Outputs, given: Outputs, limits: GateLimits, spec: Spec) -> tuple[float, float]:
        """The logits' mean squared error, and the share of pictures with another first class."""
        error = float(((given["logits"].astype(np.float64) - wanted["logits"]) ** 2).mean())
        return error, float((given["logits"].argmax(1) != wanted["logits"].argmax(1)).mean() * 100)

    def unknown(self, pictures: Pictures) -> DataError:
        return DataError(
            "The pictures have no labels, so nothing can be counted as right.",
            got=f"layout {pictures.layout!r}",
            expected="class folders, or a csv of file,class_index",
            fix="edgekit predict labels pictures without measuring",
        )

    def evaluate(self, answered: Iterable[Answered], spec: Spec) -> ClassificationEvaluation:
        rows, labels = [], []
        for one in answered:
            assert one.truth.label is not None  # `known`
            rows.append(one.outputs["logits"])
            labels.append(one.truth.label)
        logits, truth = np.stack(rows), np.asarray(labels, np.int64)
        return ClassificationEvaluation(classification_report(logits, truth, spec.classes), logits, truth)


TASK = ClassificationTask()
