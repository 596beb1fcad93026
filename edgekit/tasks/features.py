"""Features: `features` float32 [N, D], what a net without a last layer gives of each picture. It is no classifier."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import DataError
from edgekit.metrics.classification import Rate, rate
from edgekit.metrics.statistics import Interval, mcnemar
from edgekit.screen import count_of
from edgekit.tasks.base import Asked, Outputs, Task
from edgekit.tasks.evaluation import Answered, Evaluation, Metric, MetricValues, Pictures, SideBySide, rate_text
from edgekit.tasks.protocols import GateLimits, Spec
from edgekit.tasks.stage import Stage
from edgekit.vision.spec import TensorSpec, require
from edgekit.vision.vector import Features

_BLOCK = 1024  # rows of similarities in memory at once


@dataclass(frozen=True)
class FeatureEvaluation(Evaluation):
    """How often a picture's nearest neighbour, by the angle between their features, has its label.

    A net that was trained on other classes is told from a worse one by it, without any training.

    Attributes:
        nearest: leave-one-out, 1 neighbour.
        right: bool [N].
    """

    nearest: Rate
    right: NDArray[np.bool_]

    @property
    def main(self) -> float | None:
        return self.nearest.value

    def figures(self) -> MetricValues:
        value = self.nearest
        return MetricValues(value.n, {"nearest": Interval(value.hits / value.n, value.low, value.high)})

    def lines(self, model: str) -> list[str]:
        return [
            f"{model} on {count_of(self.nearest.n, 'picture')}, 95 % intervals; it gives features and is no classifier",
            f"  {'nearest neighbour':<28} {rate_text(self.nearest)}   of the other pictures, by cosine similarity",
        ]

    def against(self, candidate: FeatureEvaluation) -> SideBySide:
        test = mcnemar(self.right, candidate.right)
        return SideBySide(None, test.difference, test.verdict, test.p_value, test.only_reference, test.only_candidate)


class FeaturesTask(Task):
    """A vector a picture."""

    name = "features"
    noun = "a net that gives features"
    fields = ("dimensions",)
    metrics = (Metric("nearest", "1-NN", rate=True),)
    main = "nearest"
    classless = True
    recorded = "features"
    unrecorded = ""

    def outputs(self, spec: Spec) -> tuple[TensorSpec, ...]:
        return (TensorSpec("features", "float32", ("N", spec.dimensions)),)

    def check(self, spec: Spec) -> None:
        super().check(spec)
        require(not spec.classes, "classes", spec.classes, "none: features have no classes")
        require(isinstance(spec.dimensions, int) and spec.dimensions >= 1, "dimensions", spec.dimensions, "1 or more")

    def decode(self, answers: Outputs, shapes: Sequence[tuple[int, ...]], spec: Spec, asked: Asked) -> list[Features]:
        found = []
        for row in answers["features"]:
            if not np.isfinite(row).all():
                raise DataError(
                    "The net gave features that are not finite.",
                    got="NaN or infinity",
                    expected="finite numbers",
                    fix="verify the model: edgekit verify; a half-precision overflow is the usual cause",
                )
            values = row.astype(np.float32)  # the session writes its next answer into the same buffer
            values.flags.writeable = False
            found.append(Features(values))
        return found

    def compare(self, name: str, reference: Outputs, candidate: Outputs, limits: GateLimits, spec: Spec) -> Stage:
        return compare_features(name, reference["features"], candidate["features"], limits)

    def figures(self, stage: Stage) -> str:
        return f"max|d|/rms {stage.max_rel:<9.3g} cosine {stage.own.get('cosine', 0.0):.6f}"

    def against(self, stage: Stage, limits: GateLimits) -> str:
        return (
            f"max|d| {stage.max_rel:.3g} of at most {limits.features_shift:g} of the features' root mean square, "
            f"cosine {stage.own.get('cosine', 0.0):.6f} of at least {limits.cosine:g}"
        )

    def short(self, stage: Stage) -> dict[str, Any]:
        return {"name": stage.name, "max_abs": stage.max_abs, "max_rel": stage.max_rel, **stage.own}

    def limit(self, limits: GateLimits) -> float:
        return limits.features_shift

    def drift(self, wanted: Outputs, given: Outputs, limits: GateLimits, spec: Spec) -> tuple[float, float]:
        """The mean of 1 - cosine, and the share of pictures whose nearest other picture is another one."""
        want, got = unit(wanted["features"]), unit(given["features"])
        error = float(1 - (want * got).sum(axis=1).mean())
        return error, float((nearest(want) != nearest(got)).mean() * 100) if len(want) > 1 else 0.0

    def unknown(self, pictures: Pictures) -> DataError:
        return DataError(
            "The pictures have no labels, and features by themselves are neither right nor wrong.",
            got=f"layout {pictures.layout!r}",
            expected="labelled pictures: of each the nearest other one is asked whether it has the same label",
            fix="edgekit predict --format json writes the features; edgekit verify compares two nets' features",
        )

    def evaluate(self, answered: Iterable[Answered], spec: Spec) -> FeatureEvaluation:
        rows, labels = [], []
        for one in answered:
            assert one.truth.label is not None  # `known`
            rows.append(one.outputs["features"])
            labels.append(one.truth.label)
        truth = np.asarray(labels)
        if len(rows) < 2:
            raise DataError("One picture has no neighbour.", got="1 picture", expected="2 or more with labels")
        right = truth[nearest(unit(np.stack(rows)))] == truth
        return FeatureEvaluation(rate(int(right.sum()), len(right)), right)


def unit(features: NDArray[Any]) -> NDArray[np.float64]:
    """float64 [N, D], each row of length 1, or 0 where it is all zeros."""
    values = features.astype(np.float64)
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(np.divide(values, length, out=np.zeros_like(values), where=length > 0))


def nearest(rows: NDArray[np.float64]) -> NDArray[np.intp]:
    """[N]: of each row of `unit` the index of the other row with the largest cosine."""
    found = []
    for start in range(0, len(rows), _BLOCK):
        close = rows[start : start + _BLOCK] @ rows.T
        close[np.arange(len(close)), np.arange(start, start + len(close))] = -np.inf
        found.append(close.argmax(axis=1))
    return np.concatenate(found)


@np.errstate(invalid="ignore")  # infinity minus infinity: the NaN is what fails
def compare_features(name: str, reference: NDArray[Any], candidate: NDArray[Any], limits: GateLimits) -> Stage:
    """Compares two float32 [N, D] arrays of features against `limits`.

    Features have no natural size (a ResNet's are 0 to 5, a ViT's after its norm about 1, others hundreds), so
    differences count in units of the reference's root mean square, and each picture's vector must keep its direction.
    """
    n = len(reference)
    if reference.shape != candidate.shape:
        problem = f"features {list(candidate.shape)} instead of {list(reference.shape)}"
        return Stage(name, False, float("inf"), float("inf"), None, 0, n, (problem,), own={"cosine": 0.0})
    gap = np.abs(candidate.astype(np.float64) - reference)
    finite = bool(np.isfinite(gap).all())
    worst = float(gap.max(initial=0.0)) if finite else float("nan")
    size = float(np.sqrt((reference.astype(np.float64) ** 2).mean())) if n else 0.0
    relative = worst / size if size else worst
    both_zero = ~reference.any(axis=1) & ~candidate.any(axis=1)
    cosines = np.where(both_zero, 1.0, (unit(reference) * unit(candidate)).sum(axis=1))
    cosine = float(cosines.min(initial=1.0)) if finite else float("nan")
    problems = []
    if not finite:
        problems.append("features that are NaN or infinite")
    else:
        if relative > limits.features_shift:
            problems.append(f"max|d features| {relative:.3g} of their root mean square > {limits.features_shift:g}")
        if cosine < limits.cosine:
            problems.append(f"smallest cosine similarity {cosine:.6f} < {limits.cosine:g}")
    if not n:
        problems.append("no pictures")
    return Stage(name, not problems, worst, relative, None, 0, n, tuple(problems), own={"cosine": cosine})


TASK = FeaturesTask()
