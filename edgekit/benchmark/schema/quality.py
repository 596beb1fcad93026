"""Pieces of the report that say how right: accuracy, agreement, robustness, objects erased, expected answers."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from edgekit.benchmark.schema.part import Part, Span
from edgekit.tasks import TASKS


def _known_task(name: str) -> str:
    if name not in TASKS:
        raise ValueError("Input should be " + " or ".join(map(repr, TASKS)))
    return name


class Operating(Part):
    """What a threshold does to a class's boxes, matched at an IoU of 0.5."""

    threshold: float
    recall: float
    precision: float


class Accuracy(Part):
    """How right, on `n` pictures; `metrics` by name (top1, top5, or ap, ap50, ...), with intervals where known."""

    task: Annotated[str, AfterValidator(_known_task)]
    n: int
    metrics: dict[str, Span]
    classes: dict[str, float | None]
    class_counts: dict[str, int]
    unread: list[str]
    curves: dict[str, list[Operating]] = Field(default={}, description="of a detector's classes, at some thresholds")
    operating: dict[str, Operating] = Field(default={}, description="of these classes, at the model's own")


class Disagreement(Part):
    """A picture on which the row and the reference answer differently."""

    picture: str
    truth: str
    reference: str
    candidate: str
    weight: float
    jpeg: str | None = Field(default=None, description="base64")


class Agreement(Part):
    """Beside the reference: share of equal answers, and whether it is worse."""

    reference: str
    share: Span | None = Field(description="null where neither shows a box")
    difference: Span | None = Field(default=None, description="of the main metric, candidate minus reference")
    p_value: float | None = None
    only_reference: int | None = None
    only_candidate: int | None = None
    verdict: str
    worst: list[Disagreement] = Field(default=[])


class Robustness(Part):
    """Accuracy under corruptions [name][severity 1-5], and under attacks [name][eps in 255ths] where crafted."""

    metric: str
    n: int
    clean: float
    corruptions: dict[str, list[float]]
    attacks: dict[str, dict[str, float]] = Field(default={})
    average: float | None = None
    attacked: dict[str, int] = Field(default={}, description="pictures behind each attack")
    worst: float | None = None
    examples: list[dict[str, str]] = Field(default=[])


class ErasedClass(Part):
    """Of pictures with one class, the share of which the model says it, as `edgekit.erasing` counts them."""

    label: str
    n: int = Field(description="pictures with it")
    whole: Span
    said: int = Field(description="of the whole pictures, those of which the model says it")
    still: Span | None = Field(description="of those, with its objects erased; null where it never says it")
    elsewhere: Span | None = Field(description="of those with room for it, with as much erased elsewhere")
    alone: Span = Field(description="of all, the objects alone")
    reading: str = Field(description="the figures in a sentence")


class Erased(Part):
    """What the model says with the objects erased, and pictures of that: base64 JPEGs, and what it says of each."""

    n: int = Field(description="pictures asked about")
    data: str
    classes: list[ErasedClass]
    covered: int = Field(description="of them, left out since their objects cover most of them")
    examples: list[dict[str, str]] = Field(default=[])


class Expected(Part):
    """The row's answers beside those that came with a bench pack."""

    by: str = Field(description="what gave the expected answers")
    n: int = Field(description="pictures")
    identical: int = Field(description="of them, those of which every output is equal bit for bit")
    passed: bool = Field(description="whether the gate's limits hold for all of them")
    figures: str = Field(description="what was measured against what is allowed")
    problems: list[str] = Field(default=[], description="what is beyond the limits")

    @property
    def text(self) -> str:
        """For people: how many are equal bit for bit, and how far the others are from what is allowed."""
        if self.identical == self.n:
            return f"all {self.n} answers are those of {self.by}, bit for bit"
        same = f"{self.identical} of {self.n} answers are those of {self.by} bit for bit"
        if self.passed:
            return f"{same}, the others within the limits: {self.figures}"
        return f"{same}; not as expected: {'; '.join(self.problems)}"
