"""A task as somebody would add one: how bright is a picture, as one number; 0 for pictures of `dark`, 1 of `bright`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.metrics.statistics import Interval
from edgekit.tasks.base import Asked, Outputs, Task
from edgekit.tasks.evaluation import Answered, Evaluation, Metric, MetricValues
from edgekit.tasks.protocols import Spec
from edgekit.vision.draw import with_label
from edgekit.vision.image import Frame
from edgekit.vision.results import Classification, Result
from edgekit.vision.spec import TensorSpec


@dataclass(frozen=True)
class BrightnessEvaluation(Evaluation):
    """|value - label| of each picture, float64 [N]."""

    gaps: NDArray[np.float64]

    @property
    def main(self) -> float:
        return float(self.gaps.mean())

    def figures(self) -> MetricValues:
        spread = 1.96 * float(self.gaps.std()) / len(self.gaps) ** 0.5
        return MetricValues(len(self.gaps), {"error": Interval(self.main, self.main - spread, self.main + spread)})


@dataclass(frozen=True)
class Light(Result):
    """How bright a picture is, 0..1."""

    value: float

    def __str__(self) -> str:
        return f"brightness {self.value:.3f}"

    def draw(self, frame: Frame) -> Frame:
        return with_label(frame, Classification(0, "brightness", self.value, (), np.zeros(1, np.float32)))

    def to_dict(self) -> dict[str, Any]:
        return {"brightness": round(self.value, 6)}


class Brightness(Task):
    """`value` float32 [N, 1], 0..1."""

    name = "brightness"
    noun = "a light meter"
    metrics = (Metric("error", "error", larger_is_better=False, share=False),)
    main = "error"

    def outputs(self, spec: Spec) -> tuple[TensorSpec, ...]:
        return (TensorSpec("value", "float32", ("N", 1)),)

    def decode(self, answers: Outputs, shapes: Sequence[tuple[int, ...]], spec: Spec, asked: Asked) -> list[Light]:
        return [Light(float(row[0])) for row in answers["value"]]

    def evaluate(self, answered: Iterable[Answered], spec: Spec) -> BrightnessEvaluation:
        gaps = [abs(float(one.outputs["value"][0]) - (one.truth.label or 0)) for one in answered]
        return BrightnessEvaluation(np.array(gaps))
