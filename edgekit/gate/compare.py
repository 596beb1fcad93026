"""The gate's arithmetic: are two models equal on these pictures, and if not, where does the first difference arise?"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.config.target import Limits
from edgekit.data import Dataset
from edgekit.errors import UsageError
from edgekit.metrics.matching import NOBODY, take_turns
from edgekit.predictor import Answers, Logits, Predictor
from edgekit.progress import track
from edgekit.spec import ModelSpec
from edgekit.vision.boxes import iou_matrix
from edgekit.vision.decode import DEFAULT_SCORE
from edgekit.vision.preprocess import preprocess

# A tensor inside the net counts as different from here on, relative to its largest value. Reordering float32 sums
# costs up to 1e-5 in a deep net; weights rounded to fp16 or a BatchNorm's other eps cost 1e-4 to 1e-3, a wrong weight
# or channel more than 1e-2.
TENSOR_TOLERANCE = 1e-4
# Logits nearer than this are a tie, whatever a precision's limit allows: with int8's, every flip would be one.
TIE = 1e-3
# Of a picture's detections these must have a partner: all of this score or more, and so many of the best. What lies
# below is the noise that every heatmap has, and where K cuts it off is chance.
COUNTED, BEST = 0.05, 10
CUT = 1e-6
# On a flat heatmap, as early in a training, which place of a plateau is its peak is rounding: a detection of the
# same class and, to 1e-6, the same score whose corners are this near, in pixels, is a tie. Only few may be: a decoding
# that is off by a cell has such neighbours everywhere.
PLATEAU, TIED = 8.0, 0.02
SAME_CORNERS = 0.1  # pixels; so are two whose corners are all this near: boxes of no area have no IoU


@dataclass(frozen=True)
class FirstWrong:
    """The first tensor, in the order of execution, that differs."""

    tensor: str
    max_abs: float
    peak: float

    def __str__(self) -> str:
        return f"{self.tensor} (max|d| {self.max_abs:.3g}, largest value {self.peak:.3g})"


@dataclass(frozen=True)
class FoundShare:
    """Detections compared as sets, since near-ties come in another order on another runtime.

    Attributes:
        boxes: how many of both sides had to have a partner: every one with a score of at least 0.05 and the ten best of
            each picture, or, where the limits say so, those that are shown.
        matched: share of those that have one on the other side: same class, and the limits' IoU or corners within 0.1
            pixel; ties on a plateau, see `PLATEAU`, up to a fiftieth of all.
        max_shift: largest distance of any corner of a matched box, in the net's pixels.
    """

    boxes: int
    matched: float
    max_shift: float


@dataclass(frozen=True)
class Stage:
    """One step of an export, compared with the checkpoint.

    Attributes:
        name: `preprocess`, `fold`, `onnx`, `batch` or `file`.
        passed: whether all limits hold.
        max_abs: largest |difference| of any logit: the smallest absolute tolerance that would pass.
        max_rel: the same over the largest |logit|: the smallest relative tolerance that would pass.
        top1_agreement: share of pictures with the same first class; a flip between two classes that the reference
            itself has within the tolerance of each other counts as agreement and in `ties`. None for detection, whose
            `ties` are on plateaus.
        pictures: how many were compared.
        problems: what failed, in words; empty when passed.
        first_wrong: where the difference arises, when that is known.
        found: for detection, and None else: how the boxes compare. `max_abs` is then the largest difference of any
            score, and `max_rel` that over the largest score.
    """

    name: str
    passed: bool
    max_abs: float
    max_rel: float
    top1_agreement: float | None
    ties: int
    pictures: int
    problems: tuple[str, ...] = ()
    first_wrong: FirstWrong | None = None
    found: FoundShare | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON: a difference that is not a number is null."""
        data: dict[str, Any] = finite({**asdict(self), "problems": list(self.problems)})
        return data


def figures(stage: Stage) -> str:
    """What a stage measured, for one line."""
    if stage.found is None:
        return f"max|d| {stage.max_abs:<9.3g} top-1 {stage.top1_agreement or 0.0:7.2%}"
    found = stage.found
    return (
        f"boxes {found.matched:7.2%} of {found.boxes:<5} max|d score| {stage.max_abs:<9.3g}"
        f" max|d corner| {found.max_shift:.2g} px" + (f"  {stage.ties} ties" if stage.ties else "")
    )


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
    tie = ~same & (margin <= min(limits.max_abs, TIE))
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


def compare_found(
    name: str, reference: Answers, candidate: Answers, limits: Limits, thresholds: Sequence[float] = ()
) -> Stage:
    """Compares `boxes`, `scores` and `labels` of N pictures as sets, against `limits`.

    Args:
        thresholds: of each class; where only shown boxes count, those at or above them.
    """
    n = len(reference["scores"])
    shapes = [[list(side[key].shape) for key in ("boxes", "scores", "labels")] for side in (reference, candidate)]
    if shapes[0] != shapes[1]:
        problem = f"boxes, scores and labels {shapes[1]} instead of {shapes[0]}"
        return Stage(name, False, float("inf"), float("inf"), None, 0, n, (problem,), found=FoundShare(0, 0.0, 0.0))
    if not all(np.isfinite(candidate[key]).all() for key in ("boxes", "scores")):
        nothing = FoundShare(0, 0.0, float("nan"))
        problem = "boxes or scores that are NaN or infinite"
        return Stage(name, False, float("nan"), float("nan"), None, 0, n, (problem,), found=nothing)
    wanted = partners = ties = 0
    score_shift = box_shift = 0.0
    for i in range(n):
        for one, other in ((reference, candidate), (candidate, reference)):
            count, pairs, tied = _partners(
                {k: v[i] for k, v in one.items()}, {k: v[i] for k, v in other.items()}, limits, thresholds
            )
            wanted += count
            partners += len(pairs)
            ties += tied
            for a, b in pairs:
                score_shift = max(score_shift, abs(float(one["scores"][i, a]) - float(other["scores"][i, b])))
                box_shift = max(box_shift, float(np.abs(one["boxes"][i, a] - other["boxes"][i, b]).max()))
    ties = min(ties, int(TIED * wanted))
    share = (partners + ties) / wanted if wanted else 0.0
    problems = []
    if share < limits.boxes_matched:
        problems.append(f"boxes matched {share:.2%} of {wanted} < {limits.boxes_matched:.2%}")
    if score_shift > limits.score_shift:
        problems.append(f"score shift {score_shift:.3g} > {limits.score_shift:g}")
    if not wanted:
        problems.append("no boxes" if n else "no pictures")
    peak = float(reference["scores"].max(initial=0.0))
    found = FoundShare(wanted, share, box_shift)
    relative = score_shift / peak if peak else score_shift
    return Stage(name, not problems, score_shift, relative, None, ties, n, tuple(problems), found=found)


def _partners(
    one: Answers, other: Answers, limits: Limits, thresholds: Sequence[float]
) -> tuple[int, list[tuple[int, int]], int]:
    """How many of `one`'s detections count, which of `other`'s is the partner of each that has one, and the ties."""
    scores = one["scores"]
    if limits.boxes == "shown":
        floor = np.asarray(thresholds or (DEFAULT_SCORE,) * (int(one["labels"].max(initial=0)) + 1))
        count = scores >= floor[one["labels"]]
    else:
        count = (scores >= COUNTED) | (np.arange(len(scores)) < BEST)
    # where K cuts through equal scores, as on the flat heatmap of a net that hardly learnt, which ones stay is chance
    clear = scores > (scores.min() + CUT if scores.min() > 0 else 0)
    counted = np.flatnonzero(clear & count)
    if not len(counted):
        return 0, [], 0
    overlap = iou_matrix(one["boxes"][counted], other["boxes"])
    apart = np.abs(one["boxes"][counted][:, None] - other["boxes"]).max(2)
    same = (overlap >= limits.box_iou) | (apart <= SAME_CORNERS)
    fits = same & (one["labels"][counted][:, None] == other["labels"]) & (other["scores"] > 0)
    alike = other["labels"] == one["labels"][counted][:, None]
    alike &= (apart <= PLATEAU) & (np.abs(other["scores"] - scores[counted][:, None]) <= CUT)
    # of several at one place the one of the nearest score
    (taken,) = take_turns(np.where(fits, -np.abs(other["scores"] - scores[counted][:, None]), -np.inf))
    paired = taken != NOBODY
    pairs = list(zip(counted[paired].tolist(), taken[paired].tolist(), strict=True))
    return len(counted), pairs, int(alike[~paired].any(axis=1).sum())


def compare_answers(
    name: str, reference: Answers, candidate: Answers, limits: Limits, thresholds: Sequence[float] = ()
) -> Stage:
    """`compare` of logits or `compare_found` of detections, of the pictures that `candidate` has."""
    n = len(next(iter(candidate.values())))
    cut = {key: values[:n] for key, values in reference.items()}
    if "logits" in reference:
        return compare(name, cut["logits"], candidate["logits"], limits)
    return compare_found(name, cut, candidate, limits, thresholds)


@dataclass
class Gate:
    """The pictures, the checkpoint's answers on them, and the verdicts so far."""

    dataset: Dataset
    limits: Limits
    spec: ModelSpec
    say: Callable[[str], None]
    reference: Answers = field(default_factory=dict)
    pixels: list[NDArray[np.uint8]] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return all(stage.passed for stage in self.stages)

    def judge(self, name: str, candidate: Answers, blame: Callable[[], FirstWrong | None] = lambda: None) -> bool:
        """Adds the verdict on `candidate`; `blame` finds the first wrong tensor and runs only on failure."""
        stage = compare_answers(name, self.reference, candidate, self.limits, self.spec.thresholds)
        return self.add(stage if stage.passed else replace(stage, first_wrong=blame()))

    def add(self, stage: Stage) -> bool:
        self.stages.append(stage)
        said = "ok" if stage.passed else "FAILED: " + "; ".join(stage.problems)
        self.say(f"{stage.name:<11} {figures(stage)}   {said}")
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
    """Compares two models of one task end to end: each has its own preprocessing and names its classes.

    Args:
        reference, candidate: any two predictors of the same classes.
        dataset: the pictures; labels are not needed.

    Returns:
        A Stage named after the candidate. Classes are compared by name; another order of the same
        names is a failure that says so.

    Raises:
        UsageError: the two do not have the same task and classes.
    """
    if reference.spec.task != candidate.spec.task:
        raise UsageError(
            "The two models do not do the same.",
            got=f"{candidate.name} is for {candidate.spec.task}",
            expected=f"{reference.spec.task}, as {reference.name}",
        )
    ours, theirs = reference.spec.classes, candidate.spec.classes
    if set(ours) != set(theirs):
        odd = sorted(set(ours) ^ set(theirs))
        raise UsageError(
            "The two models do not know the same classes.",
            got=f"{len(theirs)} classes in {candidate.name}",
            expected=f"the {len(ours)} of {reference.name}",
            fix="only one of them has: " + ", ".join(odd[:5]),
        )
    pairs = [(_own(reference, frame), _own(candidate, frame)) for frame in _frames(dataset)]
    want, got = ({key: np.concatenate([p[side][key] for p in pairs]) for key in pairs[0][side]} for side in (0, 1))
    if "logits" in got and ours != theirs:
        got["logits"] = got["logits"][:, [theirs.index(name) for name in ours]]
    elif ours != theirs:
        got["labels"] = np.array([ours.index(name) for name in theirs], dtype=np.int32)[got["labels"]]
    stage = compare_answers(candidate.name, want, got, limits, reference.spec.thresholds)
    problems = list(stage.problems)
    if ours != theirs:
        problems.append("the same class names in another order")
    if reference.spec.preprocess != candidate.spec.preprocess:
        problems.append(
            f"another preprocessing: {candidate.spec.preprocess.describe()}"
            f" instead of {reference.spec.preprocess.describe()}"
        )
    return replace(stage, passed=not problems, problems=tuple(problems))


def _frames(dataset: Dataset) -> Iterator[NDArray[np.uint8]]:
    for sample in track(dataset.samples, "comparing on pictures"):
        yield sample.read()


def _own(predictor: Predictor, frame: NDArray[np.uint8]) -> Answers:
    return predictor.answers([preprocess(frame, predictor.spec.preprocess)])
