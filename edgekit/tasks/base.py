"""A task: what a model of it gives, what that means, when two models are equal, and how good one is.

Everything that edgekit does differently for classifiers and detectors is a method or an attribute here, so a new task
is one file beside this one and one line in `TASKS`. numpy and OpenCV only: a device has no torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import DataError, UsageError
from edgekit.metrics.alarm import AlarmSetting
from edgekit.tasks.evaluation import Answered, Evaluation, Metric, Pictures
from edgekit.tasks.protocols import GateLimits, Spec
from edgekit.tasks.stage import Stage
from edgekit.vision.results import Result
from edgekit.vision.spec import TensorSpec, require

Outputs = Mapping[str, NDArray[Any]]  # the model's outputs by name, [N, ...] each


@dataclass(frozen=True)
class Asked:
    """What a caller wants of an answer; a task takes what concerns it.

    Attributes:
        top: how many classes, 1 or more.
        threshold: smallest score, 0..1; None for the model's own.
    """

    top: int = 5
    threshold: float | None = None


ANY = Asked()


@np.errstate(invalid="ignore")  # infinity minus infinity: the NaN is what fails
def compare_numbers(name: str, reference: Outputs, candidate: Outputs, limit: float) -> Stage:
    """Compares outputs of N pictures number by number: none may differ by more than `limit`."""
    n = len(next(iter(reference.values())))
    shapes = [{key: list(values.shape) for key, values in side.items()} for side in (reference, candidate)]
    if shapes[0] != shapes[1]:
        problem = f"outputs {shapes[1]} instead of {shapes[0]}"
        return Stage(name, False, float("inf"), float("inf"), None, 0, n, (problem,))
    gaps = [np.abs(candidate[key].astype(np.float64) - values) for key, values in reference.items()]
    finite = all(np.isfinite(gap).all() for gap in gaps)
    worst = max(float(gap.max(initial=0.0)) for gap in gaps) if finite else float("nan")
    peak = max(float(np.abs(values).max(initial=0.0)) for values in reference.values())
    problems = [] if finite else ["outputs that are NaN or infinite"]
    if worst > limit:
        problems.append(f"max|d| {worst:.3g} > {limit:g}")
    if not n:
        problems.append("no pictures")
    return Stage(name, not problems, worst, worst / peak if peak else worst, None, 0, n, tuple(problems))


class Task(ABC):
    """One kind of model.

    Attributes:
        name: in specs, recipes and reports.
        noun: a model of it, with its article, as in messages.
        fields: of a ModelSpec, beyond those that every task has, in the order of its plain data.
        metrics: the figures that limits may name, in order.
        main: the name of the one that decides which model is better.
        training_figures: of a training's record, in the order they are printed.
        stand_in: pictures that are made in code where none are given: a hive's entrance, or patterns.
        truth: what must be known of pictures to measure it: one label each, boxes, or masks.
        finds: what a result says of things, which the camera watches by: boxes around them, masks, one label, any
            number of labels with a score each, or nothing.
        shows_wrong: whether its evaluation gives `wrong` answers, to be drawn.
        classless: whether a model of it has no classes.
        closes_with: what follows the net, behind the division by the temperature; empty: nothing.
        decodes_in_graph: whether the net's decoding is a part of the exported graph.
        raw_heads: whether a file may give the maps too that it was decoded from.
        recorded: the output that recorded pairs hold, by its name.
        unrecorded: why its outputs cannot be compared one by one with recorded ones; empty: they can.
        attackable: whether attacks on its labels can be made.
        fits_head: whether a net of it ends in one layer that training can fit alone, on features.
        merges: whether several classes of a model may be compared as one of another's.
        disagreements: how to read the pictures on which two models differ most.
    """

    name: ClassVar[str]
    noun: ClassVar[str]
    fields: ClassVar[tuple[str, ...]] = ()
    metrics: ClassVar[tuple[Metric, ...]]
    main: ClassVar[str]
    training_figures: ClassVar[tuple[str, ...]] = ()
    stand_in: ClassVar[Literal["hive", "patterns"]] = "patterns"
    truth: ClassVar[Literal["labels", "boxes", "masks"]] = "labels"
    finds: ClassVar[Literal["boxes", "masks", "label", "labels", "nothing"]] = "nothing"
    shows_wrong: ClassVar[bool] = False
    classless: ClassVar[bool] = False
    closes_with: ClassVar[Literal["", "sigmoid"]] = ""
    decodes_in_graph: ClassVar[bool] = False
    raw_heads: ClassVar[bool] = False
    recorded: ClassVar[str] = "logits"
    unrecorded: ClassVar[str] = "which gives no logits"
    attackable: ClassVar[bool] = False
    fits_head: ClassVar[bool] = False
    merges: ClassVar[bool] = False
    disagreements: ClassVar[str] = "Where the answers differ most."

    # What a model of it is

    @abstractmethod
    def outputs(self, spec: Spec) -> tuple[TensorSpec, ...]:
        """What the exported model gives, bound by name."""

    def check(self, spec: Spec) -> None:
        """Raises InputError for a field that has no meaning for this task."""
        require(spec.temperature == 1, "temperature", spec.temperature, f"1 for {self.name}")
        self.refuse_dimensions(spec)
        require(
            spec.max_detections == 0 and not spec.thresholds,
            "max_detections",
            spec.max_detections,
            f"0, and no thresholds, for {self.noun}",
        )

    def refuse_dimensions(self, spec: Spec) -> None:
        """Raises InputError for a number of features, where it is not the task that has them."""
        if "dimensions" not in self.fields:
            require(spec.dimensions == 0, "dimensions", spec.dimensions, f"0 for {self.noun}")

    def unfit_input(self, resize: str, sides: Iterable[int]) -> str:
        """What a recipe's input should be instead, where a net of this task cannot take it; else nothing.

        Args:
            resize: as in PreprocessSpec.
            sides: heights and widths in pixels, of training and of validation.
        """
        return ""

    def only(self, given: str, name: str) -> None:
        """Raises UsageError unless `given`, the task of the model `name`, is this one."""
        if given != self.name:
            raise UsageError(f"{name} is not a model for {self.name}.", got=f"a model for {given}", expected=self.name)

    # What its answers mean

    @abstractmethod
    def decode(self, answers: Outputs, shapes: Sequence[tuple[int, ...]], spec: Spec, asked: Asked) -> Sequence[Result]:
        """One result for each of N pictures; what it is drawn and written as, it says itself.

        Args:
            answers: the outputs by name, [N, ...] each.
            shapes: (h, w, 3) of each picture's frame, before it was resized.

        Raises:
            InputError: values that are no answer, such as NaN.
        """

    # When two models are equal

    def compare(self, name: str, reference: Outputs, candidate: Outputs, limits: GateLimits, spec: Spec) -> Stage:
        """Compares the outputs of N pictures against `limits`; `name` is the stage's. Here: number by number."""
        return compare_numbers(name, reference, candidate, self.limit(limits))

    def impossible(self, recorded: NDArray[Any]) -> str:
        """Why recorded values cannot be the output `recorded`; empty where they can."""
        return ""

    def misrecorded(self, given: NDArray[Any], spec: Spec) -> list[tuple[str, NDArray[Any]]]:
        """How outputs of recorded pairs may have been mistaken: each (what is wrong, what the model gives so).

        Args:
            given: the output `recorded`, as the model gives it.
        """
        return []

    def reordered(self, answers: Outputs, ours: Sequence[str], theirs: Sequence[str | None]) -> Outputs:
        """Outputs of a model with the classes `theirs` as if it had `ours`, each of which is among them.

        Args:
            theirs: None for a class that is left out; where `merges` a name may come several times.
        """
        return answers

    def figures(self, stage: Stage) -> str:
        """What a stage measured, for one line."""
        return f"max|d| {stage.max_abs:<9.3g}"

    def short(self, stage: Stage) -> dict[str, Any]:
        """What of a stage travels in the file."""
        return {"name": stage.name, "max_abs": stage.max_abs, **stage.own}

    def against(self, stage: Stage, limits: GateLimits) -> str:
        """What was measured against what is allowed, for a verdict."""
        return f"max|d| {stage.max_abs:.3g} of at most {self.limit(limits):g}"

    def limit(self, limits: GateLimits) -> float:
        """The largest difference that `limits` allow, in the unit of `Stage.max_abs`."""
        return limits.max_abs

    def drift(self, wanted: Outputs, given: Outputs, limits: GateLimits, spec: Spec) -> tuple[float, float]:
        """How far a quantized graph's answers are from the float one's: (error, points lost).

        The error ranks layers: smaller is better, in any unit. The points, 0 to 100, are the share of answers that
        changed: an upper bound of what accuracy can lose. Here: of pictures with an output beyond the largest allowed
        difference.
        """
        gaps = [np.abs(given[name].astype(np.float64) - wanted[name]) for name in wanted]
        beyond = [gap.reshape(len(gap), -1).max(1) > self.limit(limits) for gap in gaps]
        return float(np.mean([(gap**2).mean() for gap in gaps])), float(np.any(beyond, axis=0).mean() * 100)

    def class_scores(self, answers: Outputs, classes: int) -> NDArray[np.float64]:
        """float64 [N, classes]: of each picture the best score of each class, which is what thresholds act on.

        Asked only where a spec has thresholds.
        """
        raise NotImplementedError(f"{self.name} has no thresholds")

    # How good a model is

    def known(self, pictures: Pictures) -> bool:
        """Whether of every picture is known what it takes to measure a model."""
        return {"labels": pictures.labelled, "boxes": pictures.boxed, "masks": pictures.masked}[self.truth]

    def unknown(self, pictures: Pictures) -> DataError:
        """The error for pictures of which that is not known."""
        return DataError(
            f"The pictures have no {self.truth}, so nothing can be measured.",
            got=f"layout {pictures.layout!r}",
            expected=f"a data set with {self.truth}",
        )

    def anything(self, pictures: Pictures) -> bool:
        """Whether there is something to be right or wrong about in any picture."""
        return True

    def alarms(self, spec: Spec, evaluation: Evaluation | None, recall: float | None) -> tuple[AlarmSetting, ...]:
        """From which score on the alarm "is there one in the picture?" is raised, of each class that has one.

        Args:
            evaluation: of the model, on labelled pictures; None where there are none.
            recall: the share of the pictures with the class in which it shall be raised; None: as the model says.

        Raises:
            UsageError: a model that raises no alarm by picture; here, always.
            DataError: pictures that cannot tell.
        """
        raise UsageError("This model raises no alarm by a picture's best box.", got=self.noun, expected="a detector")

    @abstractmethod
    def evaluate(self, answered: Iterable[Answered], spec: Spec) -> Evaluation:
        """Measures a model from its outputs of one picture after another, one at least."""

    def metric(self, name: str) -> Metric:
        """The metric of this name. Raises KeyError."""
        return {metric.name: metric for metric in self.metrics}[name]
