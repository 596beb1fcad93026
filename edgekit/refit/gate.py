"""May a fitted detector be used? It computes what was fitted, finds what it found, and does what the marks say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.data.sample import Sample
from edgekit.metrics.ground_truth import Predictions
from edgekit.metrics.operating_point import BoxPoint, operating_points
from edgekit.predictor import Predictor
from edgekit.refit.examples import Said
from edgekit.refit.veto import Fit
from edgekit.screen import count_of
from edgekit.tasks import Asked
from edgekit.vision.results import Detections

LOST = 0.01  # of the objects of a class in the golden pictures, that may be found no more
WRONG = 0.02  # of precision on the golden pictures, that may go
EXACT = 1e-3  # of a logit, from what was fitted to what the file computes


@dataclass(frozen=True)
class Judged:
    """One fit, judged.

    Attributes:
        passed: whether it may be used.
        why: by what, in a sentence.
        strength: of the marks in the fit: how far vetoes reach.
        before, after: boxes of each class on the golden pictures that did not take part in the fit.
        gone: marked false alarms that are shown no more, of how many.
        stayed: marked right visits that are still shown, of how many that were.
    """

    passed: bool
    why: str
    strength: float
    before: tuple[BoxPoint, ...]
    after: tuple[BoxPoint, ...]
    gone: tuple[int, int]
    stayed: tuple[int, int]


@dataclass(frozen=True)
class Measured:
    """What a detector does: boxes of each class on the golden pictures, and what it finds in the marked ones."""

    points: tuple[BoxPoint, ...]
    shown: tuple[Detections, ...]


def measure(
    predictor: Predictor,
    golden: Sequence[Sample],
    marks: Sequence[tuple[NDArray[np.uint8], int, int | None]],
    limits: Sequence[float],
) -> Measured:
    """Runs a detector on golden pictures, a few in memory at a time, and on the marked ones.

    Args:
        golden: readable pictures with boxes.
        marks: frames, the class each was taken for, and the one it is.
        limits: from which score on a box counts, one a class.
    """
    founds = [
        Predictions(found.boxes, found.scores, found.labels)
        for found in predictor.results((sample.read() for sample in golden), Asked(threshold=0.0), 4)
    ]
    truths = [sample.ground_truth() for sample in golden]
    points = operating_points(truths, founds, predictor.spec.classes, tuple(limits))
    frames = [frame for frame, _, _ in marks]
    return Measured(points, tuple(predictor.results(frames, Asked(threshold=0.0), 4)))


def judge(
    standing: Measured,
    after: Predictor,
    golden: Sequence[Sample],
    marks: Sequence[tuple[NDArray[np.uint8], int, int | None]],
    limits: Sequence[float],
    fit: tuple[Sequence[Said], Fit],
    strength: float,
) -> Judged:
    """Judges a fitted detector beside the one it was made from.

    It passes where on the golden pictures no class's recall falls by more than one point and none's precision by more
    than two, every visit that was called right is still shown, one of the false ones at least is not, and the file's
    scores are those of the fit.

    Args:
        standing: of the detector that it was made from, on the same.
        after: the fitted one.
        golden: readable pictures with boxes that took no part in the fit.
        marks: frames, the class each was taken for, and the one it is.
        limits: from which score on a box counts, one a class.
        fit: the marks' places, and what they were fitted to.
        strength: for the record.
    """
    sides = (standing, measure(after, golden, marks, limits))
    points, shown = [side.points for side in sides], [side.shown for side in sides]
    false = [_shown(side, marks, limits, right=False) for side in shown]
    right = [_shown(side, marks, limits, right=True) for side in shown]
    gone = sum(was and not now for was, now in zip(*false, strict=True)), sum(false[0])
    stayed = sum(was and now for was, now in zip(*right, strict=True)), sum(right[0])
    problems = [_worse(old, new) for old, new in zip(*points, strict=True)]
    problems += [_inexact(after, marks, fit, limits)]
    if stayed[0] < stayed[1]:
        problems.append(
            f"{stayed[1] - stayed[0]} of {count_of(stayed[1], 'visit')} that were called right are shown no more"
        )
    if gone[1] and not gone[0]:
        problems.append(f"none of {gone[1]} false alarms is gone")
    told = next((problem for problem in problems if problem), "")
    passed = not told
    if passed:
        recalls = ", ".join(
            f"{new.label} {old.recall.hits} to {new.recall.hits} of {new.recall.n} found"
            for old, new in zip(*points, strict=True)
        )
        told = (
            f"{gone[0]} of {gone[1]} false alarms gone, {stayed[0]} of {stayed[1]} right ones stay; on "
            f"{len(golden)} golden pictures {recalls}"
        )
    return Judged(passed, told, strength, points[0], points[1], gone, stayed)


def _shown(
    side: Sequence[Detections],
    marks: Sequence[tuple[NDArray[np.uint8], int, int | None]],
    limits: Sequence[float],
    right: bool,
) -> list[bool]:
    """Of the marks that call their visit right, or of the others: whether a box of its class is shown."""
    return [
        bool((found.scores[found.labels == label] >= limits[label]).any())
        for found, (_, label, meant) in zip(side, marks, strict=True)
        if (meant == label) == right
    ]


def _worse(old: BoxPoint, new: BoxPoint) -> str:
    for name, allowed in (("recall", LOST), ("precision", WRONG)):
        was, now = getattr(old, name), getattr(new, name)
        if was.value is not None and (now.value or 0.0) < was.value - allowed:
            fall = f"{name} of {old.label} falls from {was.value:.1%} to {now.value or 0.0:.1%}"
            return f"{fall} on golden pictures that took no part in the fit ({allowed:.0%} is allowed)"
    return ""


def _inexact(
    after: Predictor,
    marks: Sequence[tuple[NDArray[np.uint8], int, int | None]],
    fit: tuple[Sequence[Said], Fit],
    limits: Sequence[float],
) -> str:
    """Where the file's best score in a marked picture is another than the fit gives of the old features, in numpy."""
    said, fitted = fit
    for (frame, _, _), one in zip(marks, said, strict=True):
        logits = fitted.logits(one.places.features)
        (found,) = after.detect([frame], threshold=0.0)
        for label in range(len(limits)):
            own = found.scores[found.labels == label]
            wanted = 1 / (1 + np.exp(-logits[:, :, label].max()))
            if len(own) and own[0] > EXACT and abs(float(own[0]) - wanted) > EXACT:
                return (
                    f"the file's best score of {after.spec.classes[label]} is {own[0]:.4f}, the fit gives {wanted:.4f}"
                )
    return ""
