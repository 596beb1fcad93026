"""How far quantization moved the scores, and the threshold that decides after it as the old one did before."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgekit.artifacts.onnx_file import Artifact
from edgekit.data import Dataset
from edgekit.errors import DataError, UsageError
from edgekit.predictor import Answers, Predictor
from edgekit.spec import ModelSpec
from edgekit.tasks import task_of
from edgekit.vision.preprocess import preprocess

FEWEST = 30  # scores; fewer say nothing about a distribution
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ScoreShift:
    """Scores of the same pictures (or boxes, pair by pair) before and after.

    Attributes:
        n: how many.
        mean, worst: of after - before; `worst` is the one of the largest magnitude.
        distance: Kolmogorov-Smirnov's, the largest difference of the two cumulated distributions, 0 to 1.
        before: the threshold that was decided by, score >= threshold.
        threshold: lets pass after as many as `before` did, midway between two scores; `before` itself where it does
            that already.
        passed: how many that is.
        flipped: decisions that change if the old threshold is kept.
        flipped_new: decisions that change even with the new one.
    """

    n: int
    mean: float
    worst: float
    distance: float
    before: float
    threshold: float
    passed: int
    flipped: int
    flipped_new: int


def score_shift(before: ArrayLike, after: ArrayLike, threshold: float) -> ScoreShift:
    """Compares two arrays of scores in 0..1 and proposes the threshold that keeps the operating point.

    Raises:
        DataError: not the same pictures, fewer than 30, or scores that are not numbers in 0..1.
        UsageError: a threshold outside 0..1.
    """
    old, new = np.asarray(before, np.float64), np.asarray(after, np.float64)
    if old.ndim != 1 or old.shape != new.shape or len(old) < FEWEST:
        raise DataError(
            "The scores before and after do not belong together, or are too few.",
            got=f"{list(old.shape)} before, {list(new.shape)} after",
            expected=f"one of each, of at least {FEWEST} pictures",
        )
    both = np.concatenate([old, new])
    if not ((both >= 0) & (both <= 1)).all():  # a NaN fails too
        raise DataError("Scores lie between 0 and 1.", got=f"{both.min():g} to {both.max():g}")
    if not 0 <= threshold <= 1:
        raise UsageError("A threshold lies between 0 and 1.", got=str(threshold))
    moved = new - old
    passed = int((old >= threshold).sum())
    proposed = threshold if int((new >= threshold).sum()) == passed else _that_passes(new, passed)
    return ScoreShift(
        n=len(old),
        mean=float(moved.mean()),
        worst=float(moved[np.abs(moved).argmax()]),
        distance=_distance(old, new),
        before=float(threshold),
        threshold=proposed,
        passed=passed,
        flipped=int(((old >= threshold) != (new >= threshold)).sum()),
        flipped_new=int(((old >= threshold) != (new >= proposed)).sum()),
    )


def _that_passes(scores: Floats, count: int) -> float:
    """The threshold that `count` scores reach, or nearly so where scores are equal; midway to the next below."""
    falling = np.sort(scores)[::-1]
    above = falling[count - 1] if count else 1.0
    below = falling[count] if count < len(falling) else 0.0
    return float((above + below) / 2)


def _distance(old: Floats, new: Floats) -> float:
    at = np.sort(np.concatenate([old, new]))
    share = [np.searchsorted(np.sort(values), at, side="right") / len(values) for values in (old, new)]
    return float(np.abs(share[0] - share[1]).max())


def kept_operating_points(
    fp32: Artifact, candidate: Predictor, pictures: Dataset, spec: ModelSpec, before: Answers
) -> tuple[ModelSpec, list[dict[str, object]]]:
    """The spec with thresholds that let as many pictures pass as before, by each class's best score in them.

    Args:
        before: the float32 graph's answers on them, if they were gathered; else it is run.
    """
    pixels = [preprocess(sample.read(), spec.preprocess) for sample in pictures]
    if not before:
        with Predictor.from_artifact(fp32) as predictor:
            before = predictor.answers(pixels, batch=1)
    after = candidate.answers(pixels, batch=1)
    scores = [task_of(spec.task).class_scores(side, len(spec.classes)) for side in (before, after)]
    moved: dict[str, tuple[float, ...]] = {}
    told: list[dict[str, object]] = []
    for of, limits in (("thresholds", spec.thresholds), ("alarm_thresholds", spec.alarm_thresholds)):
        shifts = [score_shift(scores[0][:, label], scores[1][:, label], limit) for label, limit in enumerate(limits)]
        moved[of] = tuple(shift.threshold for shift in shifts)
        told += [_shifted(of, name, shift) for name, shift in zip(spec.classes, shifts, strict=False)]
    return replace(spec, thresholds=moved["thresholds"], alarm_thresholds=moved["alarm_thresholds"]), told


def _shifted(of: str, name: str, shift: ScoreShift) -> dict[str, object]:
    figures = {key: getattr(shift, key) for key in ("n", "mean", "worst", "distance")}
    return {"class": name, "of": of, **figures, "before": shift.before, "threshold": shift.threshold}
