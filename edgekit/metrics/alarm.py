"""The alarm: is there one of this class in the picture? Judged by picture, from the best score of the class.

A keeper is woken by a picture, not by a box, so this and not AP decides where the threshold goes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgekit.errors import DataError
from edgekit.metrics.classification import Rate, rate
from edgekit.metrics.ground_truth import GroundTruth, Predictions, check_pairs

Floats = NDArray[np.float64]
LIMITS = (1e-2, 1e-3)


@dataclass(frozen=True)
class AlarmPoint:
    """What one threshold does: an alarm is raised where score >= threshold.

    Attributes:
        threshold: midway between two scores that were seen, so that rounding on another device changes nothing.
        recall: alarms among the pictures with the class.
        false_positives: alarms among those without.
        precision: pictures with the class among the alarms.
        f1: harmonic mean of recall and precision; None without pictures of the class.
    """

    threshold: float
    recall: Rate
    false_positives: Rate
    precision: Rate
    f1: float | None


@dataclass(frozen=True)
class AlarmSetting:
    """From which score on a class's alarm is raised.

    Attributes:
        label: the class.
        threshold: 0..1.
        chosen: where it comes from, for people.
        point: what it does on labelled pictures; None where there are none.
    """

    label: str
    threshold: float
    chosen: str
    point: AlarmPoint | None


@dataclass(frozen=True)
class AlarmReport:
    """One class's alarm.

    Attributes:
        label: the class.
        present, absent: pictures with it and without.
        unclear: pictures with it only in what is set aside (crowds, difficult ones): left out of everything here.
        auroc: chance that a picture with it scores above one without, ties half; None without both.
        best: the threshold above 0 of the highest F1, of several the highest; None without both.
        own: what the model's own threshold does; None where it has none.
        at_limits: for each limit of the false-positive rate the lowest threshold that keeps it in these pictures.
            Where `false_positives.high` lies above the limit, there were too few pictures to be sure of it.
    """

    label: str
    present: int
    absent: int
    unclear: int
    auroc: float | None
    best: AlarmPoint | None
    at_limits: tuple[tuple[float, AlarmPoint], ...]
    own: AlarmPoint | None = None

    @property
    def threshold(self) -> float | None:
        """The proposed threshold: that of the highest F1."""
        return None if self.best is None else self.best.threshold

    @property
    def strictest(self) -> float | None:
        """The threshold of the first limit, 0..1; None where these pictures propose none."""
        return min(1.0, self.at_limits[0][1].threshold) if self.at_limits else None


def alarm_reports(
    truths: Sequence[GroundTruth],
    founds: Sequence[Predictions],
    classes: Sequence[str],
    limits: Sequence[float] = LIMITS,
    confidence: float = 0.95,
    own: Sequence[float] = (),
) -> tuple[AlarmReport, ...]:
    """One report a class. Intervals are Clopper-Pearson's.

    Args:
        own: the model's alarm thresholds, one a class; none: it has none.

    Raises:
        DataError: not one result a picture, or a label that is no class.
    """
    check_pairs(truths, founds, len(classes))
    reports = []
    for label, name in enumerate(classes):
        score, present, unclear = judged(truths, founds, label)
        report = _report(name, score, present, unclear, limits, confidence)
        if own and len(score):
            report = replace(report, own=point_at(score, present, own[label], confidence))
        reports.append(report)
    return tuple(reports)


def judged(
    truths: Sequence[GroundTruth], founds: Sequence[Predictions], label: int
) -> tuple[Floats, NDArray[np.bool_], int]:
    """(scores, present, unclear): float64 and bool [N] of the pictures that count, and how many are unclear."""
    present = np.array([(t.labels == label).any() for t in truths], dtype=np.bool_)
    unclear = ~present & np.array([(t.ignored_labels == label).any() for t in truths], dtype=np.bool_)
    return picture_scores(founds, label)[~unclear], present[~unclear], int(unclear.sum())


def threshold_for(scores: Floats, present: NDArray[np.bool_], recall: float) -> float | None:
    """The highest threshold, 0..1, that raises the alarm in so large a share of the pictures with the class.

    None where no picture has it, or where so many have no score above 0 that no threshold does.
    """
    yes = np.sort(scores[present])[::-1]
    needed = max(1, math.ceil(recall * len(yes) - 1e-9))
    if not len(yes) or yes[needed - 1] <= 0:
        return None
    below = np.append(scores[scores < yes[needed - 1]], 0.0).max()
    return float(yes[needed - 1] + below) / 2


def picture_scores(founds: Sequence[Predictions], label: int) -> Floats:
    """float64 [N]: the best score of the class in each picture, 0 where it was not found."""
    return np.array([f.scores[f.labels == label].max(initial=0.0) for f in founds], dtype=np.float64)


def auroc(scores: ArrayLike, present: ArrayLike) -> float | None:
    """Area under the ROC curve: (pairs ordered rightly + half the ties) / pairs; None unless both kinds are there."""
    score, is_there = np.asarray(scores, dtype=np.float64), np.asarray(present, dtype=np.bool_)
    yes, no = score[is_there], np.sort(score[~is_there])
    if not len(yes) or not len(no):
        return None
    below, not_above = np.searchsorted(no, yes, side="left"), np.searchsorted(no, yes, side="right")
    return float((below + not_above).sum() / (2 * len(yes) * len(no)))


def roc(scores: ArrayLike, present: ArrayLike) -> tuple[Floats, Floats, Floats]:
    """(thresholds, false-positive rates, recalls), float64 [P] each, from no alarm at all to an alarm every time.

    Raises:
        DataError: shapes that differ, a score that is not finite, or not both kinds of pictures.
    """
    thresholds, hits, false = _steps(*_checked(scores, present))
    if not hits[-1] or not false[-1]:
        raise DataError(
            "There is no ROC curve.", got="pictures of one kind", expected="some with the class, some without"
        )
    return thresholds, false / false[-1], hits / hits[-1]


def point_at(scores: ArrayLike, present: ArrayLike, threshold: float, confidence: float = 0.95) -> AlarmPoint:
    """What `threshold` does on these pictures. Raises DataError as `roc`, but one kind of picture will do."""
    score, is_there = _checked(scores, present)
    alarm = score >= threshold
    hits, false = int((alarm & is_there).sum()), int((alarm & ~is_there).sum())
    return _point(threshold, hits, false, int(is_there.sum()), int((~is_there).sum()), confidence)


def _report(
    name: str, scores: Floats, present: NDArray[np.bool_], unclear: int, limits: Sequence[float], confidence: float
) -> AlarmReport:
    n_yes, n_no = int(present.sum()), int((~present).sum())
    if not n_yes or not n_no:
        return AlarmReport(name, n_yes, n_no, unclear, None, None, ())
    thresholds, hits, false = _steps(scores, present)
    points = [
        _point(float(t), int(h), int(f), n_yes, n_no, confidence)
        for t, h, f in zip(thresholds, hits, false, strict=True)
    ]
    # a threshold of 0 raises an alarm where nothing was found, which no camera should
    f1 = np.where(thresholds > 0, 2 * hits / (hits + false + n_yes), -1)
    best = points[int(f1.argmax())]  # argmax takes the first: the highest threshold
    kept = tuple((limit, points[int(np.flatnonzero(false <= limit * n_no)[-1])]) for limit in limits)
    return AlarmReport(name, n_yes, n_no, unclear, auroc(scores, present), best, kept)


def _steps(scores: Floats, present: NDArray[np.bool_]) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
    """Thresholds from above the best score down, and the hits and false alarms at each: int [distinct scores + 1]."""
    values = np.unique(scores)[::-1]
    above = np.nextafter(values[0], np.inf)
    # midway to 0, the score of nothing found; the least number above 0 has no half
    lowest = values[-1] / 2 if values[-1] / 2 > 0 else values[-1]
    between = (values[:-1] + values[1:]) / 2
    between = np.where(between > values[1:], between, values[:-1])  # neighbours in floating point have no middle
    thresholds = np.concatenate([[above], between, [lowest]])
    ordered = [np.sort(scores[side]) for side in (present, ~present)]
    hits, false = (len(s) - np.searchsorted(s, thresholds, side="left") for s in ordered)
    return thresholds, hits.astype(np.int64), false.astype(np.int64)


def _point(threshold: float, hits: int, false: int, n_yes: int, n_no: int, confidence: float) -> AlarmPoint:
    return AlarmPoint(
        threshold,
        rate(hits, n_yes, confidence),
        rate(false, n_no, confidence),
        rate(hits, hits + false, confidence),
        2 * hits / (hits + false + n_yes) if n_yes else None,
    )


def _checked(scores: ArrayLike, present: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    score, is_there = np.asarray(scores, dtype=np.float64), np.asarray(present, dtype=np.bool_)
    if score.ndim != 1 or score.shape != is_there.shape or not len(score) or not np.isfinite(score).all():
        raise DataError(
            "Scores and pictures do not belong together.",
            got=f"scores {list(score.shape)}, present {list(is_there.shape)}",
            expected="one finite score a picture",
        )
    return score, is_there
