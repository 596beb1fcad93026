"""The gate's arithmetic: are two models equal on these pictures, and if not, where does the first difference arise?"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.config import Limits
from edgekit.data import Dataset
from edgekit.errors import UsageError
from edgekit.predictor import Logits, Predictor
from edgekit.spec import ModelSpec

# A tensor inside the net counts as different from here on, relative to its largest value. Reordering float32 sums
# costs up to 1e-5 in a deep net; weights rounded to fp16 or a BatchNorm's other eps cost 1e-4 to 1e-3, a wrong weight
# or channel more than 1e-2.
TENSOR_TOLERANCE = 1e-4


@dataclass(frozen=True)
class FirstWrong:
    """The first tensor, in the order of execution, that differs."""

    tensor: str
    max_abs: float
    peak: float

    def __str__(self) -> str:
        return f"{self.tensor} (max|d| {self.max_abs:.3g}, largest value {self.peak:.3g})"


@dataclass(frozen=True)
class Stage:
    """One step of an export, compared with the checkpoint.

    Attributes:
        name: `preprocess`, `fold`, `onnx`, `batch` or `file`.
        passed: whether all limits hold.
        max_abs: largest |difference| of any logit: the smallest absolute tolerance that would pass.
        max_rel: the same over the largest |logit|: the smallest relative tolerance that would pass.
        top1_agreement: share of pictures with the same first class; a flip between two classes that the reference
            itself has within the tolerance of each other counts as agreement and in `ties`.
        pictures: how many were compared.
        problems: what failed, in words; empty when passed.
        first_wrong: where the difference arises, when that is known.
    """

    name: str
    passed: bool
    max_abs: float
    max_rel: float
    top1_agreement: float
    ties: int
    pictures: int
    problems: tuple[str, ...] = ()
    first_wrong: FirstWrong | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON: a difference that is not a number is null."""
        data: dict[str, Any] = finite({**asdict(self), "problems": list(self.problems)})
        return data


def finite(value: Any) -> Any:
    """`value` with None for every NaN and infinity in it: JSON has neither."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@np.errstate(invalid="ignore")  # infinity minus infinity: the NaN is what fails
def compare(name: str, reference: Logits, candidate: Logits, limits: Limits) -> Stage:
    """Compares two float32 [N, C] arrays of logits, row by row, against `limits`."""
    if reference.shape != candidate.shape:
        problem = f"logits {list(candidate.shape)} instead of {list(reference.shape)}"
        return Stage(name, False, float("inf"), float("inf"), 0.0, 0, len(reference), (problem,))
    difference = np.abs(candidate.astype(np.float64) - reference)
    finite = bool(np.isfinite(difference).all())
    max_abs = float(difference.max(initial=0.0)) if finite else float("nan")
    peak = float(np.abs(reference).max(initial=0.0))
    rows = np.arange(len(reference))
    first, other = reference.argmax(1), np.nan_to_num(candidate, nan=-np.inf).argmax(1)
    same = first == other
    margin = reference[rows, first] - reference[rows, other]
    tie = ~same & (margin <= limits.max_abs)
    agreement = float((same | tie).mean()) if len(rows) else 0.0
    problems = []
    if not finite:
        problems.append("logits that are NaN or infinite")
    elif max_abs > limits.max_abs:
        problems.append(f"max|d logits| {max_abs:.3g} > {limits.max_abs:g}")
    if agreement < limits.top1_agreement:
        problems.append(f"top-1 agreement {agreement:.2%} < {limits.top1_agreement:.2%}")
    if not len(rows):
        problems.append("no pictures")
    return Stage(
        name,
        not problems,
        max_abs,
        max_abs / peak if peak else max_abs,
        agreement,
        int(tie.sum()),
        len(rows),
        tuple(problems),
    )


@dataclass
class Gate:
    """The pictures, the checkpoint's answers on them, and the verdicts so far."""

    dataset: Dataset
    limits: Limits
    spec: ModelSpec
    say: Callable[[str], None]
    reference: Logits = field(default_factory=lambda: np.empty((0, 0), np.float32))
    pixels: list[NDArray[np.uint8]] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return all(stage.passed for stage in self.stages)

    def judge(self, name: str, candidate: Logits, blame: Callable[[], FirstWrong | None] = lambda: None) -> bool:
        """Adds the verdict on `candidate`; `blame` finds the first wrong tensor and runs only on failure."""
        stage = compare(name, self.reference[: len(candidate)], candidate, self.limits)
        return self.add(stage if stage.passed else replace(stage, first_wrong=blame()))

    def add(self, stage: Stage) -> bool:
        self.stages.append(stage)
        said = "ok" if stage.passed else "FAILED: " + "; ".join(stage.problems)
        self.say(f"{stage.name:<11} max|d| {stage.max_abs:<9.3g} top-1 {stage.top1_agreement:7.2%}   {said}")
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


def verify(reference: Predictor, candidate: Predictor, dataset: Dataset, limits: Limits) -> Stage:
    """Compares two models end to end: each reads the pictures through its own preprocessing and names its classes.

    Args:
        reference, candidate: any two predictors of the same classes.
        dataset: the pictures; labels are not needed.

    Returns:
        A Stage named after the candidate. Logits are compared class by class, by name; another order of the same
        names is a failure that says so.

    Raises:
        UsageError: the two do not have the same classes.
    """
    ours, theirs = reference.spec.classes, candidate.spec.classes
    if set(ours) != set(theirs):
        odd = sorted(set(ours) ^ set(theirs))
        raise UsageError(
            "The two models do not know the same classes.",
            got=f"{len(theirs)} classes in {candidate.name}",
            expected=f"the {len(ours)} of {reference.name}",
            fix="only one of them has: " + ", ".join(odd[:5]),
        )
    pairs = [(reference.logits([f]), candidate.logits([f])) for f in (s.read() for s in dataset.samples)]
    want = np.concatenate([a for a, _ in pairs])
    got = np.concatenate([b for _, b in pairs])
    if ours != theirs:
        got = got[:, [theirs.index(name) for name in ours]]
    stage = compare(candidate.name, want, got, limits)
    problems = list(stage.problems)
    if ours != theirs:
        problems.append("the same class names in another order")
    if reference.spec.preprocess != candidate.spec.preprocess:
        problems.append(
            f"another preprocessing: {candidate.spec.preprocess.describe()}"
            f" instead of {reference.spec.preprocess.describe()}"
        )
    return replace(stage, passed=not problems, problems=tuple(problems))
