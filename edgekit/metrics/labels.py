"""How good a multi-label classifier is: average precision of each label, and F1 at the thresholds. numpy only.

Average precision is the sum of precision times the step of recall over all scores, without interpolation (Manning,
Raghavan and Schuetze 2008, "Introduction to Information Retrieval", sec. 8.4); equal scores are one step, so the order
of the pictures plays no part. mAP is its mean over the labels that any picture has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import DataError
from edgekit.metrics.bootstrap import interval, picked
from edgekit.metrics.classification import Rate, rate
from edgekit.metrics.statistics import Interval

Floats = NDArray[np.float64]
YES, NO, UNKNOWN = 1, 0, -1  # of a picture and a label
_WORK = 2e8  # scores that all draws of the bootstrap may look at


@dataclass(frozen=True)
class LabelQuality:
    """One label.

    Attributes:
        label: its name.
        threshold: the score from which on it is told.
        present, absent: pictures that have it and that have not; where it is unknown is neither.
        average_precision: 0..1; None where no picture has it.
        precision, recall: at the threshold, with exact 95 % intervals.
    """

    label: str
    threshold: float
    present: int
    absent: int
    average_precision: float | None
    precision: Rate
    recall: Rate

    @property
    def f1(self) -> float | None:
        """None where there is nothing to find and nothing was told."""
        told_or_there = self.precision.n + self.recall.n
        return 2 * self.recall.hits / told_or_there if told_or_there else None


@dataclass(frozen=True)
class LabelReport:
    """All labels of a model on N pictures; each figure with its 95 % interval, bootstrapped by picture.

    Attributes:
        mean_ap: None where no label is in any picture; so are the others.
        micro_f1: of all decisions together, which frequent labels rule.
        macro_f1: the mean of the labels that are there, where each counts alike.
    """

    n: int
    labels: tuple[LabelQuality, ...]
    mean_ap: Interval | None
    micro_f1: Interval | None
    macro_f1: Interval | None


class Ranking:
    """The scores of N pictures in descending order, label by label, so that average precision is quickly drawn anew.

    Args:
        scores: [N, C].
        truth: [N, C] of YES, NO and UNKNOWN.
    """

    def __init__(self, scores: NDArray[np.floating], truth: NDArray[np.integer]) -> None:
        order = np.argsort(-scores, axis=0, kind="stable")
        ranked = np.take_along_axis(np.asarray(scores, np.float64), order, axis=0)
        self._order = order
        self._truth = np.take_along_axis(np.asarray(truth), order, axis=0)
        # of each place the last one of the same score
        n = len(scores)
        last = np.full(ranked.shape, n - 1)
        for i in range(n - 2, -1, -1):
            last[i] = np.where(ranked[i] == ranked[i + 1], last[i + 1], i)
        self._last = last

    def average_precision(self, weights: Floats) -> Floats:
        """[C]; `weights` [N] is how often each picture counts. NaN for a label that no picture has."""
        weight = weights[self._order] * (self._truth != UNKNOWN)
        right = weight * (self._truth == YES)
        found = np.cumsum(right, axis=0)
        told = np.cumsum(weight, axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = np.take_along_axis(found / told, self._last, axis=0)
            return np.asarray(np.nansum(right * precision, axis=0) / found[-1])


class Decisions:
    """What was told at the thresholds, right and wrong, so that F1 is quickly drawn anew."""

    def __init__(self, told: NDArray[np.bool_], truth: NDArray[np.integer]) -> None:
        self.hits = (told & (truth == YES)).astype(np.float64)
        self.told = (told & (truth != UNKNOWN)).astype(np.float64)
        self.there = (truth == YES).astype(np.float64)

    def f1(self, weights: Floats) -> tuple[float, float]:
        """(micro, macro); NaN where there is nothing to find."""
        hits, told, there = (weights @ part for part in (self.hits, self.told, self.there))
        if not there.sum():
            return float("nan"), float("nan")
        micro = 2 * hits.sum() / (told.sum() + there.sum())
        some = there > 0
        return float(micro), float((2 * hits[some] / (told[some] + there[some])).mean())


def label_report(
    scores: NDArray[np.floating], truth: NDArray[np.integer], classes: Sequence[str], thresholds: Sequence[float]
) -> LabelReport:
    """Measures N pictures.

    Args:
        scores: [N, C], 0..1, finite.
        truth: int [N, C] of YES, NO and UNKNOWN.
        classes: C names.
        thresholds: C numbers.

    Raises:
        DataError: no pictures, shapes that do not belong together, or scores that are not finite.
    """
    expected = f"scores and truth [N, {len(classes)}], N at least 1"
    if scores.shape != truth.shape or scores.ndim != 2 or scores.shape[1] != len(classes) or not len(scores):
        raise DataError(
            "Scores and labels do not belong together.", got=f"{scores.shape} and {truth.shape}", expected=expected
        )
    if not np.isfinite(scores).all():
        raise DataError("The model gave scores that are not finite.", got="NaN or infinity", expected="0 to 1")
    limits = np.asarray(thresholds, np.float64)
    ranking, decisions = Ranking(scores, truth), Decisions(scores >= limits, truth)
    once = np.ones(len(scores))
    average = ranking.average_precision(once)
    labels = tuple(
        LabelQuality(
            label=name,
            threshold=float(limits[i]),
            present=int((truth[:, i] == YES).sum()),
            absent=int((truth[:, i] == NO).sum()),
            average_precision=None if np.isnan(average[i]) else float(average[i]),
            precision=rate(int(decisions.hits[:, i].sum()), int(decisions.told[:, i].sum())),
            recall=rate(int(decisions.hits[:, i].sum()), int(decisions.there[:, i].sum())),
        )
        for i, name in enumerate(classes)
    )
    if np.isnan(average).all():
        return LabelReport(len(scores), labels, None, None, None)
    micro, macro = decisions.f1(once)
    return LabelReport(
        n=len(scores),
        labels=labels,
        mean_ap=_drawn(float(np.nanmean(average)), scores.shape, lambda w: _mean(ranking.average_precision(w))),
        micro_f1=_drawn(micro, scores.shape, lambda w: decisions.f1(w)[0]),
        macro_f1=_drawn(macro, scores.shape, lambda w: decisions.f1(w)[1]),
    )


def ap_difference(one: Ranking, other: Ranking, shape: tuple[int, ...]) -> Interval:
    """mAP of `other` minus that of `one` on the same pictures, drawn together."""

    def difference(weights: Floats) -> float:
        return _mean(other.average_precision(weights)) - _mean(one.average_precision(weights))

    return _drawn(difference(np.ones(shape[0])), shape, difference)


def _mean(values: Floats) -> float:
    return float("nan") if np.isnan(values).all() else float(np.nanmean(values))


def _drawn(value: float, shape: tuple[int, ...], figure: Callable[[Floats], float]) -> Interval:
    n, classes = shape
    rounds = int(min(1000, max(100, _WORK / (n * classes))))

    def draw(rng: np.random.Generator) -> float | None:
        found = figure(np.bincount(picked(rng, n), minlength=n).astype(np.float64))
        return None if np.isnan(found) else found

    return interval(value, draw, rounds, doing="bootstrapping")
