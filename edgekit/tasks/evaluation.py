"""What measuring a model on pictures with known answers gives, whatever its task: figures, lines, and a comparison."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from edgekit.metrics.classification import Rate
from edgekit.metrics.ground_truth import GroundTruth
from edgekit.metrics.statistics import Interval
from edgekit.screen import count_of
from edgekit.vision.image import Frame

WORST = 6  # pictures on which two models differ most, that are kept


class Truth(Protocol):
    """What is known about one picture; `edgekit.data.Sample` is one."""

    @property
    def label(self) -> int | None: ...

    @property
    def labels(self) -> tuple[int, ...] | None: ...

    @property
    def unknown_labels(self) -> tuple[int, ...]: ...

    def ground_truth(self) -> GroundTruth: ...

    def read_mask(self) -> NDArray[np.int16]: ...


class Pictures(Protocol):
    """A data set, as far as a task asks what is known of it; `edgekit.data.Dataset` is one."""

    @property
    def layout(self) -> str: ...

    @property
    def labelled(self) -> bool: ...

    @property
    def labels_known(self) -> bool: ...

    @property
    def boxed(self) -> bool: ...

    @property
    def masked(self) -> bool: ...

    @property
    def box_counts(self) -> tuple[int, ...]: ...


@dataclass(frozen=True)
class Answered:
    """One picture that a model answered.

    Attributes:
        outputs: the model's outputs of this picture by name, without the batch's axis.
        shape: (h, w, 3) of its frame.
        truth: what is known about it.
    """

    outputs: Mapping[str, NDArray[Any]]
    shape: tuple[int, ...]
    truth: Truth


@dataclass(frozen=True)
class Metric:
    """A figure that says how good a model is.

    Attributes:
        name: its key in reports, for example `ap50`.
        label: as people read it, `AP50`.
        larger_is_better: whether more is better.
        share: whether it lies in 0..1 and is shown in per cent.
        rate: whether it counts pictures, right ones of all: then it has an exact interval (Clopper-Pearson).
    """

    name: str
    label: str
    larger_is_better: bool = True
    share: bool = True
    rate: bool = False

    @property
    def scale(self) -> float:
        """What a difference of it is multiplied with, to be shown: a share's is in points of 100."""
        return 100.0 if self.share else 1.0

    @property
    def unit(self) -> str:
        """What follows a difference's description."""
        return ", points" if self.share else ""

    def text(self, value: float) -> str:
        """A value of it, for people."""
        return f"{value:.1%}" if self.share else f"{value:.4g}"

    def drop(self, before: float, after: float) -> float:
        """By how much it got worse, in points of 100 for a share; negative is better."""
        worse = before - after if self.larger_is_better else after - before
        return self.scale * worse


class Shown(NamedTuple):
    """What a threshold does to a class's boxes: recall and precision in 0..1, with score >= threshold shown."""

    threshold: float
    recall: float
    precision: float


@dataclass(frozen=True)
class MetricValues:
    """An evaluation as a report shows it.

    Attributes:
        n: pictures.
        metrics: by name, with 95 % intervals; what was not measured is not among them.
        class_counts: of each class how many pictures or objects there were.
        curves: of each class that has objects, what some thresholds do; none where a task has no thresholds.
        operating: of these classes, what the model's own threshold does.
    """

    n: int
    metrics: Mapping[str, Interval]
    class_counts: Mapping[str, int] = field(default_factory=dict)
    curves: Mapping[str, Sequence[Shown]] = field(default_factory=dict)
    operating: Mapping[str, Shown] = field(default_factory=dict)


@dataclass(frozen=True)
class DifferingPicture:
    """A picture on which two models answer differently.

    Attributes:
        index: of the picture, among those that were read.
        truth, reference, candidate: what is there, and what the two said, for people.
        weight: how much they differ; the larger the more.
        draw: draws both answers on the picture's frame; None leaves it as it is.
    """

    index: int
    truth: str
    reference: str
    candidate: str
    weight: float
    draw: Callable[[Frame], Frame] | None = None


@dataclass(frozen=True)
class WrongAnswer:
    """An answer that the labels call wrong, to be looked at: it may be the labels' mistake.

    Attributes:
        index: of the picture, among those that were read.
        says: what the model says and what the labels say, for people.
        place: x1 y1 x2 y2 in the picture's pixels, where it is; None where it is about all of the picture.
        boxes: those to draw, in the picture's pixels, each with its class; None stands for what the labels say.
    """

    index: int
    says: str
    place: tuple[float, ...] | None = None
    boxes: tuple[tuple[tuple[float, ...], int | None], ...] = ()


@dataclass(frozen=True)
class SideBySide:
    """Two models on the same pictures.

    Attributes:
        share: of equal answers; None where neither answers anything.
        difference: of the main metric, candidate minus reference; None where it was not measured.
        verdict: `better`, `worse`, `no difference shown` or `not measured`.
        p_value, only_reference, only_candidate: of McNemar's test, where pictures are right or wrong.
        worst: the pictures that differ most, at most `WORST`.
    """

    share: Interval | None
    difference: Interval | None
    verdict: str
    p_value: float | None = None
    only_reference: int | None = None
    only_candidate: int | None = None
    worst: tuple[DifferingPicture, ...] = ()


@dataclass(frozen=True)
class Evaluation(ABC):
    """A report and the answers it was made from.

    Attributes:
        unread: names of the pictures that could not be read, with the reason; they are not among those measured.
    """

    unread: tuple[str, ...] = field(default=(), kw_only=True)

    @property
    @abstractmethod
    def main(self) -> float | None:
        """The task's main metric; None where there was nothing to measure."""

    @property
    def classes(self) -> Mapping[str, float | None]:
        """The main metric of each class; None where there was nothing to measure. Here: of none."""
        return {}

    @abstractmethod
    def figures(self) -> MetricValues:
        """For a benchmark's report."""

    def lines(self, model: str) -> list[str]:
        """The evaluation of the model of this name, as text for people. Here: a line a metric."""
        figures = self.figures()
        told = [
            f"  {name:<28} {value.value:.4g}   [{value.low:.4g}, {value.high:.4g}]"
            for name, value in figures.metrics.items()
        ]
        return [f"{model} on {count_of(figures.n, 'picture')}, 95 % intervals", *told]

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; what was not measured is null. Here: of each metric the value and its interval."""
        figures = self.figures()
        values = {name: value.value for name, value in figures.metrics.items()}
        intervals = {f"{name}_interval": [value.low, value.high] for name, value in figures.metrics.items()}
        return {"n": figures.n, **values, **intervals, "confidence": 0.95, "unread": list(self.unread)}

    def wrong(self, most: int) -> tuple[WrongAnswer, ...]:
        """The surest wrong answers, at most so many, surest first. Here: none."""
        return ()

    def against(self, candidate: Any) -> SideBySide:
        """`candidate`, another evaluation of the same task and pictures, compared with this one, the reference.

        Here: that nothing is known of the difference.
        """
        return SideBySide(None, None, "not measured")


def rate_text(rate: Rate, without: str = "") -> str:
    """A rate and its interval in per cent; `without`: what there is none of where nothing was measured."""
    if rate.value is None:
        return "not measured" + (f" (no {without})" if without else "")
    return f"{rate.value:7.2%}   [{rate.low:.2%}, {rate.high:.2%}]"
