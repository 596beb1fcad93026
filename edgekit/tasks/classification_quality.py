"""How good a classifier is: top-1, top-5 and per class, as figures, text and JSON, and beside another one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.metrics.classification import ClassificationReport, Rate, rate, topk_hits
from edgekit.metrics.statistics import Interval, mcnemar
from edgekit.screen import count_of, shown, some
from edgekit.tasks.evaluation import (
    WORST,
    DifferingPicture,
    Evaluation,
    MetricValues,
    SideBySide,
    WrongAnswer,
    rate_text,
)
from edgekit.vision.decode import softmax

WEAKEST_SHOWN = 20


@dataclass(frozen=True)
class ClassificationEvaluation(Evaluation):
    """A classifier's report and the logits it was made from.

    Attributes:
        report: top-1, top-5, per class, with 95 % Clopper-Pearson intervals.
        logits: float32 [N, C], in the order of the data set.
        labels: int64 [N], the true classes.
    """

    report: ClassificationReport
    logits: NDArray[np.float32]
    labels: NDArray[np.int64]

    @property
    def main(self) -> float | None:
        return self.report.top1.value

    @property
    def classes(self) -> dict[str, float | None]:
        return {c.label: c.top1.value for c in self.report.classes if c.n}

    def figures(self) -> MetricValues:
        report = self.report
        return MetricValues(
            n=report.n,
            metrics={"top1": _interval(report.top1), f"top{report.k}": _interval(report.top5)},
            class_counts={c.label: c.n for c in report.classes if c.n},
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: shares as numbers, intervals beside them, classes without pictures left out.

        `balanced` is null where a class has no picture.
        """
        report = self.report
        return {
            "n": report.n,
            **_flat("top1", report.top1),
            **_flat(f"top{report.k}", report.top5),
            "balanced": report.balanced,
            "confidence": 0.95,
            "not_finite": report.not_finite,
            "unread": list(self.unread),
            "classes": {c.label: {"n": c.n, **_flat("top1", c.top1)} for c in report.classes if c.n},
        }

    def lines(self, model: str) -> list[str]:
        report = self.report
        told = [f"{model} on {count_of(report.n, 'picture')}, 95 % intervals"]
        for name, value in (("top-1", report.top1), (f"top-{report.k}", report.top5)):
            told.append(f"  {name:<28} {rate_text(value)}")
        if report.balanced is not None:
            told.append(f"  {'balanced':<28} {report.balanced:7.2%}")
        else:
            gone = report.unmeasured
            told.append(f"  {'balanced':<28} not measured: no picture of {some(gone)} ({count_of(len(gone), 'class')})")
        seen = [entry for entry in report.classes if entry.n]
        if len(seen) > WEAKEST_SHOWN:
            seen = sorted(seen, key=lambda entry: entry.top1.value or 0.0)[:WEAKEST_SHOWN]
            told.append(f"  the {WEAKEST_SHOWN} weakest classes (--format json has all)")
        told += [f"  {shown(entry.label):<28.28} {rate_text(entry.top1)}  of {entry.n}" for entry in seen]
        return told

    def wrong(self, most: int) -> tuple[WrongAnswer, ...]:
        """The wrong first classes, the most probable first."""
        classes = [c.label for c in self.report.classes]
        first, probable = self.logits.argmax(axis=1), softmax(self.logits).max(axis=1)
        order = [int(i) for i in np.argsort(-probable, kind="stable") if first[i] != self.labels[i]][:most]
        return tuple(
            WrongAnswer(i, f"{classes[first[i]]} {probable[i]:.2f}, labelled {classes[self.labels[i]]}") for i in order
        )

    def against(self, candidate: ClassificationEvaluation) -> SideBySide:
        """First classes that are the same, McNemar's test, and the pictures whose probabilities lie farthest apart."""
        classes = [c.label for c in self.report.classes]
        first, second = self.logits.argmax(axis=1), candidate.logits.argmax(axis=1)
        same = rate(int((first == second).sum()), len(first))
        test = mcnemar(topk_hits(self.logits, self.labels, 1), topk_hits(candidate.logits, self.labels, 1))
        p, q = softmax(self.logits), softmax(candidate.logits)
        gap = np.abs(p - q).sum(axis=1) / 2  # total variation: 0 the same, 1 nothing in common
        order = [int(i) for i in np.argsort(-gap, kind="stable") if first[i] != second[i]][:WORST]
        worst = tuple(
            DifferingPicture(
                i,
                truth=classes[self.labels[i]],
                reference=f"{classes[first[i]]} {100 * p[i, first[i]]:.0f} %",
                candidate=f"{classes[second[i]]} {100 * q[i, second[i]]:.0f} %",
                weight=float(gap[i]),
            )
            for i in order
        )
        return SideBySide(
            share=_interval(same),
            difference=test.difference,
            verdict=test.verdict,
            p_value=test.p_value,
            only_reference=test.only_reference,
            only_candidate=test.only_candidate,
            worst=worst,
        )


def _flat(name: str, rate: Rate) -> dict[str, Any]:
    interval = None if rate.interval is None else list(rate.interval)
    return {name: rate.value, f"{name}_hits": rate.hits, f"{name}_interval": interval}


def _interval(rate: Rate) -> Interval:
    assert rate.value is not None  # an evaluation has pictures
    return Interval(rate.value, rate.low, rate.high)
