"""How good a multi-label classifier is: mAP, F1 and each label, as figures, text and JSON, and beside another one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.metrics.bootstrap import of_share
from edgekit.metrics.labels import YES, LabelQuality, LabelReport, Ranking, ap_difference
from edgekit.metrics.statistics import Interval
from edgekit.screen import count_of, shown
from edgekit.tasks.classification_quality import WEAKEST_SHOWN
from edgekit.tasks.evaluation import (
    WORST,
    DifferingPicture,
    Evaluation,
    MetricValues,
    SideBySide,
    WrongAnswer,
    rate_text,
)

ONE_EACH = "the pictures have one label each; what else they show counts as absent, so AP is too low"


@dataclass(frozen=True)
class LabelEvaluation(Evaluation):
    """A multi-label classifier's report and what it was made from.

    Attributes:
        report: mAP, F1 and each label.
        scores: float32 [N, C], in the order of the data set.
        truth: int8 [N, C]: 1 there, 0 not there, -1 unknown.
        thresholds: C numbers.
        one_each: whether only one label of each picture is known, as in class folders.
    """

    report: LabelReport
    scores: NDArray[np.float32]
    truth: NDArray[np.int8]
    thresholds: tuple[float, ...]
    one_each: bool = False

    @property
    def main(self) -> float | None:
        return None if self.report.mean_ap is None else self.report.mean_ap.value

    @property
    def classes(self) -> dict[str, float | None]:
        return {one.label: one.average_precision for one in self.report.labels}

    def figures(self) -> MetricValues:
        found = {name: value for name, value in self._figures().items() if value is not None}
        return MetricValues(self.report.n, found, {one.label: one.present for one in self.report.labels})

    def _figures(self) -> dict[str, Interval | None]:
        report = self.report
        return {"map": report.mean_ap, "micro_f1": report.micro_f1, "macro_f1": report.macro_f1}

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; what was not measured is null."""
        plain: dict[str, Any] = {"n": self.report.n}
        for name, value in self._figures().items():
            plain[name] = None if value is None else value.value
            plain[f"{name}_interval"] = None if value is None else [value.low, value.high]
        return {
            **plain,
            "confidence": 0.95,
            "one_label_each": self.one_each,
            "unread": list(self.unread),
            "classes": {one.label: _plain(one) for one in self.report.labels},
        }

    def lines(self, model: str) -> list[str]:
        told = [f"{model} on {count_of(self.report.n, 'picture')}, 95 % intervals"]
        names = {"map": "mAP", "micro_f1": "micro F1", "macro_f1": "macro F1"}
        for name, value in self._figures().items():
            figure = "not measured: no picture has any of the labels"
            if value is not None:
                figure = f"{value.value:.3f}   [{value.low:.3f}, {value.high:.3f}]"
            told.append(f"  {names[name]:<28} {figure}")
        if self.one_each:
            told.append(f"  note: {ONE_EACH}")
        seen = [one for one in self.report.labels if one.present]
        if len(seen) > WEAKEST_SHOWN:
            seen = sorted(seen, key=lambda one: one.average_precision or 0.0)[:WEAKEST_SHOWN]
            told.append(f"  the {WEAKEST_SHOWN} weakest labels (--format json has all)")
        for one in seen:
            rates = f"precision {rate_text(one.precision, 'labels told')}  recall {rate_text(one.recall)}"
            told.append(
                f"  {shown(one.label):<20.20} AP {one.average_precision or 0.0:.3f}  at {one.threshold:.3f}: {rates}"
                f"  of {one.present}"
            )
        return told

    def wrong(self, most: int) -> tuple[WrongAnswer, ...]:
        """Labels told that a picture has not, and those not told that it has, farthest from their threshold first."""
        limits = np.asarray(self.thresholds)
        beyond = self.scores.astype(np.float64) - limits
        told, there = beyond >= 0, self.truth == YES
        known = self.truth >= 0
        far = np.where(known & (told != there), np.abs(beyond), -1.0)
        found = []
        for place in np.argsort(-far, axis=None, kind="stable")[:most]:
            i, label = divmod(int(place), far.shape[1])
            if far[i, label] >= 0:
                name, score = self.report.labels[label].label, self.scores[i, label]
                word = "not labelled" if told[i, label] else "not told, labelled"
                found.append(WrongAnswer(i, f"{name} {score:.2f}: {word}"))
        return tuple(found)

    def against(self, candidate: LabelEvaluation) -> SideBySide:
        """Labels told by both of those told by either, mAP drawn in pairs, and the pictures that differ most."""
        first = self.scores >= np.asarray(self.thresholds)
        second = candidate.scores >= np.asarray(candidate.thresholds)
        share = of_share((first & second).sum(axis=1), (first | second).sum(axis=1))
        rankings = Ranking(self.scores, self.truth), Ranking(candidate.scores, self.truth)
        difference = None if self.main is None else ap_difference(*rankings, self.scores.shape)
        clear = difference is not None and (difference.low > 0 or difference.high < 0)
        verdict = "not measured" if difference is None else "no difference shown"
        if clear and difference is not None:
            verdict = "better" if difference.low > 0 else "worse"
        differing = (first != second).any(axis=1)
        gap = np.abs(self.scores.astype(np.float64) - candidate.scores).max(axis=1)
        order = [int(i) for i in np.argsort(-gap, kind="stable") if differing[i]][:WORST]
        worst = tuple(
            DifferingPicture(
                i,
                truth=self._named(self.truth[i] == YES),
                reference=self._named(first[i]),
                candidate=self._named(second[i]),
                weight=float(gap[i]),
            )
            for i in order
        )
        return SideBySide(share, difference, verdict, worst=worst)

    def _named(self, which: NDArray[np.bool_]) -> str:
        return ", ".join(self.report.labels[i].label for i in np.flatnonzero(which)) or "nothing"


def _plain(one: LabelQuality) -> dict[str, Any]:
    rates = {"precision": one.precision, "recall": one.recall}
    return {
        "present": one.present,
        "absent": one.absent,
        "threshold": one.threshold,
        "ap": one.average_precision,
        "f1": one.f1,
        **{name: value.value for name, value in rates.items()},
        **{f"{n}_interval": None if v.interval is None else list(v.interval) for n, v in rates.items()},
    }
