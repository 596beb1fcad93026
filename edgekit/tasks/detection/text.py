"""A detector's report as text for people: averages, boxes at the threshold and along the score, and the alarm."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from edgekit.metrics.classification import Rate
from edgekit.metrics.detection import DetectionReport
from edgekit.metrics.mistakes import KINDS, Kind, Mistakes
from edgekit.screen import count_of, shown, some
from edgekit.tasks.evaluation import rate_text

AVERAGES = ("ap", "ap50", "ap75", "small", "medium", "large", "voc07")
KIND_WORDS: dict[Kind, str] = {
    "background": "nothing labelled there",
    "localization": "badly placed",
    "class": "labelled as another",
    "both": "both of these",
    "duplicate": "a second box",
    "missed": "not found",
}
_MOST = 10  # classes whose boxes are told along the score


def report_lines(report: DetectionReport, model: str) -> list[str]:
    """The whole report of the model of this name."""
    told = [f"{model} on {count_of(report.n, 'picture')} with {count_of(sum(report.objects), 'object')}"]
    told.append(f"  {'':<20}{'objects':>8}" + "".join(f"{name:>8}" for name in AVERAGES))
    classes = [
        (name, objects, averages) for (name, averages), objects in zip(report.classes, report.objects, strict=True)
    ]
    for name, objects, averages in (("all classes", sum(report.objects), report.mean), *classes):
        values = [getattr(averages, key) for key in AVERAGES]
        figures = "".join(f"{'-':>8}" if v is None else f"{v:8.3f}" for v in values)
        told.append(f"  {shown(name):<20.20}{objects:>8}{figures}")
    told.append("boxes at the threshold, IoU 0.5, 95 % intervals")
    for point in report.operating:
        rates = f"precision {rate_text(point.precision, 'boxes')}  recall {rate_text(point.recall, 'objects')}"
        told.append(f"  {shown(point.label):<20.20}{point.threshold:>8.3f}  {rates}")
    return [*told, *curve_lines(report), *alarm_lines(report)]


def curve_lines(report: DetectionReport) -> list[str]:
    """Precision and recall of each class's boxes at a few scores; a bar stands where its threshold lies.

    Classes without objects are left out, and of many all but the first `_MOST`.
    """
    measured = [i for i, objects in enumerate(report.objects) if objects]
    if not measured:
        return []
    scores = [point.threshold for point in report.curves[0]]
    left = f", the first {_MOST} of {count_of(len(measured), 'class')}" if len(measured) > _MOST else ""
    told = [f"boxes by the score from which on they are shown, IoU 0.5, | where the threshold lies{left}"]
    told.append(f"  {'':<20}{'':<11}" + "".join(f"  {score:.2f}" for score in scores))
    for i in measured[:_MOST]:
        threshold, points = report.operating[i].threshold, report.curves[i]
        for what in ("precision", "recall"):
            name = shown(points[0].label) if what == "precision" else ""
            told.append(f"  {name:<20.20}{what:<11}" + _row([getattr(p, what) for p in points], scores, threshold))
    return told


def _row(rates: list[Rate], scores: list[float], threshold: float) -> str:
    cells = ["   -" if rate.value is None else f"{rate.value:4.2f}" for rate in rates]
    bars = ["|" if low < threshold <= high else " " for low, high in pairwise([0.0, *scores])]
    return "".join(f" {bar}{cell}" for bar, cell in zip(bars, cells, strict=True)) + (
        " |" if threshold > scores[-1] else ""
    )


def alarm_lines(report: DetectionReport) -> list[str]:
    """How well each alarm tells pictures with one from those without, and what the model's own threshold does."""
    told = ["alarm: is there one in the picture?"]
    for alarm in report.alarms:
        counts = f"{count_of(alarm.present, 'picture')} with it, {alarm.absent} without"
        if alarm.best is None or alarm.auroc is None:
            told.append(f"  {shown(alarm.label):<20.20} not measured: {counts}")
        else:
            best = alarm.best
            told.append(
                f"  {shown(alarm.label):<20.20} AUROC {alarm.auroc:.3f}  F1 {best.f1:.3f} at {best.threshold:.3f}"
                f"  ({counts})"
            )
        if alarm.own is not None:
            recall, false = rate_text(alarm.own.recall), rate_text(alarm.own.false_positives)
            told.append(f"  {'':<20} its threshold {alarm.own.threshold:.3f}: recall {recall}  false alarms {false}")
        for limit, at in alarm.at_limits:
            rates = f"recall {rate_text(at.recall)} at {at.threshold:.3f}"
            sure = "" if at.false_positives.high <= limit else f"; too few pictures to be sure of {limit:g}"
            told.append(f"  {'':<20} {rates} with {at.false_positives.hits} false alarms{sure}")
    return told


def mistake_lines(every: Mistakes, at_threshold: Mistakes, classes: Sequence[str]) -> list[str]:
    """What each kind of mistake costs in AP50, and how often it is made by the boxes that are shown."""
    told = ["what AP50 loses (TIDE), and the mistakes at the threshold; --sheet FILE draws the surest"]
    told.append(f"  {'':<24}{'points':>7}{'boxes':>8}")
    for kind in KINDS:
        cost, n = every.costs[kind], at_threshold.count(kind)
        points = f"{'-':>7}" if cost is None else f"{100 * cost:7.1f}"
        by_class = [(at_threshold.count(kind, label), name) for label, name in enumerate(classes)]
        named = some([f"{shown(name)} {count}" for count, name in sorted(by_class, key=lambda c: -c[0]) if count])
        told.append(f"  {KIND_WORDS[kind]:<24}{points}{n:>8}  {named}".rstrip())
    return told
