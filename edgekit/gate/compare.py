"""The gate's arithmetic: are two models equal on these pictures, and if not, where does the first difference arise?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.config.target import Limits
from edgekit.data import Dataset
from edgekit.gate.classes import Paired, pair_classes
from edgekit.gate.spent import Spent
from edgekit.predictor import Answers, Predictor
from edgekit.progress import track
from edgekit.spec import ModelSpec
from edgekit.tasks import Task, task_of
from edgekit.tasks.stage import FirstWrong, Stage
from edgekit.vision.preprocess import preprocess

# A tensor inside the net counts as different from here on, relative to its largest value. Reordering float32 sums
# costs up to 1e-5 in a deep net; weights rounded to fp16 or a BatchNorm's other eps cost 1e-4 to 1e-3, a wrong weight
# or channel more than 1e-2.
TENSOR_TOLERANCE = 1e-4


def compare_answers(name: str, reference: Answers, candidate: Answers, limits: Limits, spec: ModelSpec) -> Stage:
    """Compares, as the model's task does, the pictures that `candidate` has."""
    n = len(next(iter(candidate.values())))
    cut = {key: values[:n] for key, values in reference.items()}
    return task_of(spec.task).compare(name, cut, candidate, limits, spec)


def taken(answers: Answers, rows: Sequence[int]) -> Answers:
    """Those of some pictures."""
    return {name: values[list(rows)] for name, values in answers.items()}


@dataclass
class Gate:
    """The pictures, the checkpoint's answers on them, the verdicts so far, and what they cost."""

    dataset: Dataset
    limits: Limits
    spec: ModelSpec
    say: Callable[[str], None]
    reference: Answers = field(default_factory=dict)
    pixels: list[NDArray[np.uint8]] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    spent: Spent = field(default_factory=Spent)
    judged: tuple[str, Answers] | None = None  # hash of the last graph that ran on all pictures, and its answers

    @property
    def passed(self) -> bool:
        """Whether every stage so far has passed; true where there was none."""
        return all(stage.passed for stage in self.stages)

    @property
    def task(self) -> Task:
        """What says when answers are equal."""
        return task_of(self.spec.task)

    def judge(
        self,
        name: str,
        candidate: Answers,
        blame: Callable[[], FirstWrong | None] = lambda: None,
        rows: Sequence[int] | None = None,
    ) -> bool:
        """Adds the verdict on `candidate`; `blame` finds the first wrong tensor and runs only on failure.

        Args:
            rows: which pictures `candidate` has; None for all.
        """
        wanted = self.reference if rows is None else taken(self.reference, rows)
        stage = compare_answers(name, wanted, candidate, self.limits, self.spec)
        return self.add(stage if stage.passed else replace(stage, first_wrong=blame()))

    def add(self, stage: Stage) -> bool:
        """Keeps a verdict, says it, and gives whether it passed. What was spent since the last mark was its."""
        self.stages.append(stage)
        self.spent.mark(stage.name)
        said = "ok" if stage.passed else "FAILED: " + "; ".join(stage.problems)
        self.say(f"{stage.name:<11} {self.task.figures(stage)}   {said}")
        return stage.passed


def first_wrong(
    reference: Mapping[str, NDArray[Any]], candidate: Mapping[str, NDArray[Any]], order: Sequence[str]
) -> FirstWrong | None:
    """The first name of `order` whose two tensors differ by more than `TENSOR_TOLERANCE` of the reference's peak."""
    for name in order:
        if name not in reference or name not in candidate:
            continue
        want, got = reference[name], candidate[name]
        if want.shape != got.shape:
            return FirstWrong(name, float("inf"), float(np.abs(want).max()))
        peak = float(np.abs(want).max(initial=0.0))
        worst = float(np.abs(got.astype(np.float64) - want).max(initial=0.0))
        if not worst <= TENSOR_TOLERANCE * max(peak, 1e-6):  # a NaN fails too
            return FirstWrong(name, worst, peak)
    return None


def verify(
    reference: Predictor, candidate: Predictor, dataset: Dataset, limits: Limits, paired: Paired | None = None
) -> Stage:
    """Compares two models of one task end to end: each has its own preprocessing and names its classes.

    Args:
        reference, candidate: any two predictors of the same classes.
        dataset: the pictures; labels are not needed.
        paired: which of their classes are compared, by `pair_classes`; without it those of the same names.

    Returns:
        A Stage named after the candidate. Classes are compared by name; another order of the same
        names is a failure that says so, unless a map says which is which.

    Raises:
        UsageError: the two do not have the same task and classes.
    """
    paired = paired or pair_classes(reference, candidate)
    pairs = [(_own(reference, frame), _own(candidate, frame)) for frame in _frames(dataset)]
    want, got = ({key: np.concatenate([p[side][key] for p in pairs]) for key in pairs[0][side]} for side in (0, 1))
    if not paired.as_they_are:
        want = dict(reference.task.reordered(want, paired.names, paired.reference))
        got = dict(reference.task.reordered(got, paired.names, paired.candidate))
    stage = compare_answers(candidate.name, want, got, limits, _spec_of(reference.spec, paired))
    problems = list(stage.problems)
    if not paired.as_they_are and not paired.text:
        problems.append("the same class names in another order")
    if reference.spec.preprocess != candidate.spec.preprocess:
        problems.append(
            f"another preprocessing: {candidate.spec.preprocess.describe()}"
            f" instead of {reference.spec.preprocess.describe()}"
        )
    return replace(stage, passed=not problems, problems=tuple(problems))


def _spec_of(spec: ModelSpec, paired: Paired) -> ModelSpec:
    """The reference's spec with the classes that are compared, and their thresholds."""
    if paired.names == spec.classes:
        return spec
    places = [i for i, name in enumerate(paired.reference) if name is not None]
    boxes, alarms = (tuple(values[i] for i in places if values) for values in (spec.thresholds, spec.alarm_thresholds))
    return replace(spec, classes=paired.names, thresholds=boxes, alarm_thresholds=alarms)


def _frames(dataset: Dataset) -> Iterator[NDArray[np.uint8]]:
    for sample in track(dataset.samples, "comparing on pictures"):
        yield sample.read()


def _own(predictor: Predictor, frame: NDArray[np.uint8]) -> Answers:
    return predictor.answers([preprocess(frame, predictor.spec.preprocess)])
