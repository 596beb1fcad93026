"""How often a classifier is right, with intervals that say how sure that is. numpy only."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgekit.errors import DataError, UsageError
from edgekit.screen import count_of


@dataclass(frozen=True)
class Rate:
    """`hits` of `n`, with its exact 95 % interval low..high. `value` is None where n is 0: nothing was measured."""

    hits: int
    n: int
    value: float | None
    low: float
    high: float

    @property
    def interval(self) -> tuple[float, float] | None:
        """low and high; None where nothing was measured: that it lies between 0 and 1 is no finding."""
        return None if self.value is None else (self.low, self.high)


def plain(report: Any) -> dict[str, Any]:
    """A dataclass of rates and the like as plain data for JSON; an unmeasured rate and its interval are null."""

    def factory(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if made.keys() == {"hits", "n", "value", "low", "high"} and made["value"] is None:
            made |= {"low": None, "high": None}
        return made

    return asdict(report, dict_factory=factory)


@dataclass(frozen=True)
class ClassResult:
    """Top-1 of the pictures whose true class is this one (its recall)."""

    label: str
    n: int
    top1: Rate


@dataclass(frozen=True)
class ClassificationReport:
    """Accuracy on labelled pictures.

    Attributes:
        n: pictures.
        top1: how often the best answer was right.
        top5: how often the right one was among the best k.
        k: 5, or the number of classes where that is smaller.
        not_finite: pictures with a NaN or infinite logit; each counts as wrong.
        classes: one entry a class, in the order of the logits, with n = 0 where no picture was of it.
    """

    n: int
    top1: Rate
    top5: Rate
    k: int
    not_finite: int
    classes: tuple[ClassResult, ...]

    @property
    def unmeasured(self) -> tuple[str, ...]:
        """The classes that no picture was of."""
        return tuple(c.label for c in self.classes if not c.n)

    @property
    def balanced(self) -> float | None:
        """Balanced accuracy, the mean of the classes' recalls; None, not measured, where a class has no picture."""
        return None if self.unmeasured else mean_recall(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; an unmeasured rate and its interval are null."""
        return {**plain(self), "balanced": self.balanced}


def classification_report(
    logits: ArrayLike, labels: ArrayLike, classes: Sequence[str], confidence: float = 0.95
) -> ClassificationReport:
    """Top-1, top-5 and top-1 per class.

    Args:
        logits: [N, C] with N at least 1.
        labels: integers [N] in 0..C-1.
        classes: C names.
        confidence: of every interval.

    Raises:
        DataError: no pictures, shapes that do not fit, or a label out of range.
    """
    rows, truth = _checked(logits, labels)
    if rows.shape[1] != len(classes):
        raise DataError(
            "The logits do not fit the classes.",
            got=f"{rows.shape[1]} columns",
            expected=f"{count_of(len(classes), 'class')}",
        )
    if not len(rows):
        raise DataError("There is nothing to measure.", got="no pictures", expected="at least one labelled picture")
    k = min(5, len(classes))
    first = topk_hits(rows, truth, 1)
    counts = np.bincount(truth, minlength=len(classes))
    hits = np.bincount(truth[first], minlength=len(classes))
    return ClassificationReport(
        n=len(rows),
        top1=rate(int(first.sum()), len(rows), confidence),
        top5=rate(int(topk_hits(rows, truth, k).sum()), len(rows), confidence),
        k=k,
        not_finite=int((~np.isfinite(rows).all(axis=1)).sum()),
        classes=tuple(
            ClassResult(name, int(n), rate(int(h), int(n), confidence))
            for name, n, h in zip(classes, counts, hits, strict=True)
        ),
    )


def mean_recall(report: ClassificationReport) -> float:
    """The mean recall of those classes that have pictures, one at least."""
    return float(np.mean([c.top1.value for c in report.classes if c.top1.value is not None]))


def topk_hits(logits: ArrayLike, labels: ArrayLike, k: int) -> NDArray[np.bool_]:
    """bool [N]: whether the true class is among the k largest logits of its row.

    Among equal logits the lower class index comes first, as in `classify`: a net that answers the same for every
    class is right for class 0 only. A row with NaN or infinity is never a hit.

    Raises:
        DataError: logits not [N, C], labels not integers [N], or a label out of 0..C-1.
        UsageError: k below 1.
    """
    if k < 1:
        raise UsageError("k must be at least 1.", got=str(k), expected="1 or more")
    rows, truth = _checked(logits, labels)
    if not len(rows):
        return np.zeros(0, dtype=np.bool_)
    own = np.take_along_axis(rows, truth[:, None], axis=1)
    earlier = np.arange(rows.shape[1])[None, :] < truth[:, None]
    ahead = ((rows > own) | ((rows == own) & earlier)).sum(axis=1)
    return np.asarray((ahead < k) & np.isfinite(rows).all(axis=1))


def rate(hits: int, n: int, confidence: float = 0.95) -> Rate:
    """`hits` of `n` with its Clopper-Pearson interval."""
    low, high = clopper_pearson(hits, n, confidence)
    return Rate(hits, n, hits / n if n else None, low, high)


@lru_cache(maxsize=4096)
def clopper_pearson(k: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact interval of a proportion, from k hits in n trials: (low, high) in 0..1; (0, 1) where n is 0.

    Source: C. Clopper and E. S. Pearson, "The use of confidence or fiducial limits illustrated in the case of the
    binomial", Biometrika 26 (1934). `low` is the p at which k or more hits have probability (1 - confidence) / 2,
    `high` the p at which k or fewer have.

    Raises:
        UsageError: k outside 0..n, or a confidence outside 0..1.
    """
    if not 0 <= k <= n:
        raise UsageError("Hits must lie between 0 and the number of trials.", got=f"{k} of {n}")
    if not 0 < confidence < 1:
        raise UsageError("A confidence lies between 0 and 1.", got=str(confidence), expected="for example 0.95")
    alpha = (1 - confidence) / 2
    low = _lower_limit(k, n, alpha) if k else 0.0
    # k or fewer hits at p are n - k or more misses at 1 - p
    high = 1 - _lower_limit(n - k, n, alpha) if k < n else 1.0
    return low, high


def _lower_limit(k: int, n: int, alpha: float) -> float:
    # The median of a binomial with p = k/n is k, so there the tail is at least 1/2 > alpha: the root lies below.
    return _bisect(lambda p: _upper_tail(k, n, p) - alpha, 0.0, k / n)


def _upper_tail(k: int, n: int, p: float) -> float:
    """P(X >= k) of a binomial for p <= k/n, where the terms fall from the first on: about sqrt(n) of them count."""
    if p <= 0:
        return 0.0
    if p >= 1:
        return 1.0
    log_first = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * math.log(p)
    term = math.exp(log_first + (n - k) * math.log1p(-p))
    total, odds = term, p / (1 - p)
    for i in range(k, n):
        term *= (n - i) / (i + 1) * odds
        total += term
        if term <= total * 1e-17:
            break
    return total


def _bisect(rising: Callable[[float], float], low: float, high: float) -> float:
    """The root of a rising function, to the last bit."""
    while True:
        middle = (low + high) / 2
        if middle in (low, high):
            return middle
        if rising(middle) < 0:
            low = middle
        else:
            high = middle


def _checked(logits: ArrayLike, labels: ArrayLike) -> tuple[NDArray[Any], NDArray[np.int64]]:
    rows, truth = np.asarray(logits), np.asarray(labels)
    if truth.size == 0:
        truth = truth.astype(np.int64)  # an empty list is float64 to numpy
    if rows.ndim != 2 or truth.shape != rows.shape[:1] or truth.dtype.kind not in "iu":
        raise DataError(
            "Logits and labels do not belong together.",
            got=f"logits {list(rows.shape)}, labels {truth.dtype} {list(truth.shape)}",
            expected="logits [N, C] and integer labels [N]",
        )
    wrong = (truth < 0) | (truth >= rows.shape[1])
    if wrong.any():
        raise DataError(
            "A label is not one of the model's classes.",
            got=f"{truth[wrong][0]} at row {int(wrong.argmax())}",
            expected=f"0 to {rows.shape[1] - 1}",
            fix="check that the data and the model have the same classes",
        )
    return rows, truth.astype(np.int64)
