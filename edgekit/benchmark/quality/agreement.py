"""Two models on the same pictures: how often they agree, whether one is worse, and where they differ most."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.benchmark.quality.accuracy import DetectionEvaluation, Evaluation
from edgekit.benchmark.schema import Accuracy, Agreement, Disagreement, Span
from edgekit.data import Dataset, Sample
from edgekit.errors import PictureError
from edgekit.metrics.ap_intervals import Parts, ap_difference, ap_interval, matched_parts
from edgekit.metrics.bootstrap import of_share
from edgekit.metrics.classification import Rate, rate, topk_hits
from edgekit.metrics.ground_truth import Predictions
from edgekit.metrics.matching import best_pairs
from edgekit.metrics.statistics import Interval, mcnemar
from edgekit.vision.boxes import iou_matrix
from edgekit.vision.decode import DEFAULT_SCORE, softmax
from edgekit.vision.image import Frame, encode_picture

MATCH = 0.9  # IoU from which on two models' boxes are the same box, as at the gate
THUMBNAIL = 176  # pixels, the longer side
WORST = 6


@dataclass(frozen=True)
class Answers:
    """An evaluation with what is needed to compare it: the pictures that were read, in order."""

    evaluation: Evaluation | DetectionEvaluation
    samples: tuple[Sample, ...]
    classes: tuple[str, ...]
    thresholds: tuple[float, ...] = ()


def accuracy(answers: Answers) -> Accuracy:
    """The report's form of an evaluation: Clopper-Pearson intervals of rates, bootstrap intervals of AP."""
    evaluation = answers.evaluation
    if isinstance(evaluation, Evaluation):
        report = evaluation.report
        return Accuracy(
            task="classification",
            n=report.n,
            metrics={"top1": _span(report.top1), f"top{report.k}": _span(report.top5)},
            classes={c.label: c.top1.value for c in report.classes if c.n},
            class_counts={c.label: c.n for c in report.classes if c.n},
            unread=list(evaluation.unread),
        )
    found = evaluation.report
    metrics = {}
    for name in ("ap", "ap50"):
        value = getattr(found.mean, name)
        if value is not None:
            interval = ap_interval(_parts(evaluation, len(answers.classes), name == "ap50"), value)
            metrics[name] = Span(value=interval.value, low=interval.low, high=interval.high)
    return Accuracy(
        task="detection",
        n=found.n,
        metrics=metrics,
        classes={name: a.ap50 for name, a in found.classes},
        class_counts={name: n for (name, _), n in zip(found.classes, found.objects, strict=True)},
        unread=list(evaluation.unread),
    )


def agreement(reference: Answers, candidate: Answers, name: str, pictures: bool = True) -> Agreement:
    """How the candidate's answers differ from those of `name`. Both must have read the same pictures."""
    a, b = reference.evaluation, candidate.evaluation
    if isinstance(a, Evaluation) and isinstance(b, Evaluation):
        return _classes(a, b, reference, name, pictures)
    assert isinstance(a, DetectionEvaluation)
    assert isinstance(b, DetectionEvaluation)
    return _boxes(a, b, reference, candidate, name, pictures)


def _classes(a: Evaluation, b: Evaluation, reference: Answers, name: str, pictures: bool) -> Agreement:
    labels = np.array([s.label for s in reference.samples])
    first, second = a.logits.argmax(axis=1), b.logits.argmax(axis=1)
    same = rate(int((first == second).sum()), len(first))
    test = mcnemar(topk_hits(a.logits, labels, 1), topk_hits(b.logits, labels, 1))
    p, q = softmax(a.logits), softmax(b.logits)
    gap = np.abs(p - q).sum(axis=1) / 2  # total variation: 0 the same, 1 nothing in common
    order = [i for i in np.argsort(-gap, kind="stable") if first[i] != second[i]][:WORST]
    worst = [
        Disagreement(
            picture=reference.samples[i].name,
            truth=reference.classes[labels[i]],
            reference=f"{reference.classes[first[i]]} {100 * p[i, first[i]]:.0f} %",
            candidate=f"{reference.classes[second[i]]} {100 * q[i, second[i]]:.0f} %",
            weight=float(gap[i]),
            jpeg=thumbnail(_frame(reference.samples[i])) if pictures else None,
        )
        for i in order
    ]
    return Agreement(
        reference=name,
        share=_span(same),
        difference=_interval(test.difference),
        p_value=test.p_value,
        only_reference=test.only_reference,
        only_candidate=test.only_candidate,
        verdict=test.verdict,
        worst=worst,
    )


def _boxes(
    a: DetectionEvaluation, b: DetectionEvaluation, reference: Answers, candidate: Answers, name: str, pictures: bool
) -> Agreement:
    n = len(reference.classes)
    limits = np.asarray(reference.thresholds or (DEFAULT_SCORE,) * n)
    matched, seen = np.zeros(len(a.founds)), np.zeros(len(a.founds))
    for i, (x, y) in enumerate(zip(a.founds, b.founds, strict=True)):
        matched[i], seen[i] = matches(_shown(x, limits), _shown(y, limits))
    share = of_share(matched, seen)
    difference = ap_difference(_parts(a, n, True), _parts(b, n, True))
    order = [i for i in np.argsort(matched - seen, kind="stable") if matched[i] < seen[i]][:WORST]
    worst = []
    for i in order:
        one, two = _shown(a.founds[i], limits), _shown(b.founds[i], limits)
        frame = _frame(reference.samples[i]) if pictures else None
        worst.append(
            Disagreement(
                picture=reference.samples[i].name,
                truth=f"{len(a.truths[i].labels)} objects",
                reference=f"{len(one.scores)} boxes",
                candidate=f"{len(two.scores)} boxes",
                weight=float(seen[i] - matched[i]),
                jpeg=None if frame is None else thumbnail(_outlined(frame, one, two)),
            )
        )
    shown = difference is not None and (difference.low > 0 or difference.high < 0)
    verdict = "no difference shown" if difference is not None else "not measured"
    if shown and difference is not None:
        verdict = "better" if difference.low > 0 else "worse"
    return Agreement(
        reference=name,
        share=None if share is None else _interval(share),
        difference=None if difference is None else _interval(difference),
        verdict=verdict,
        worst=worst,
    )


def matches(a: Predictions, b: Predictions) -> tuple[float, float]:
    """(boxes with a partner, boxes) of two results of one picture, both sides counted: same class, IoU >= 0.9."""
    total = float(len(a.scores) + len(b.scores))
    if not len(a.scores) or not len(b.scores):
        return 0.0, total
    overlap = iou_matrix(a.boxes, b.boxes) * (np.asarray(a.labels)[:, None] == np.asarray(b.labels)[None, :])
    return 2.0 * len(best_pairs(overlap, MATCH)), total


def thumbnail(frame: Frame | None, side: int = THUMBNAIL) -> str | None:
    """base64 of a small JPEG, or None for no frame."""
    if frame is None:
        return None
    from PIL import Image

    h, w = frame.shape[:2]
    scale = min(1.0, side / max(h, w))
    small = Image.fromarray(np.ascontiguousarray(frame)).resize(
        (max(1, round(w * scale)), max(1, round(h * scale))), Image.Resampling.BILINEAR
    )
    return base64.b64encode(encode_picture(np.asarray(small), ".jpg")).decode()


def read_samples(dataset: Dataset, unread: Sequence[str]) -> tuple[Sample, ...]:
    """The samples that an evaluation of `dataset` was made from."""
    broken = {line.split(": ", 1)[0] for line in unread}
    return tuple(s for s in dataset if s.name not in broken)


def _outlined(frame: Frame, reference: Predictions, candidate: Predictions) -> Frame:
    """Blue the reference's boxes, orange the candidate's."""
    picture = np.array(frame, copy=True)
    line = max(2, round(max(frame.shape[:2]) / 120))
    for found, colour in ((reference, (214, 140, 40)), (candidate, (0, 130, 240))):
        for x1, y1, x2, y2 in np.asarray(found.boxes).round().astype(int).tolist():
            x1, y1 = max(0, x1), max(0, y1)
            picture[y1 : y1 + line, x1:x2] = colour
            picture[max(y1, y2 - line) : y2, x1:x2] = colour
            picture[y1:y2, x1 : x1 + line] = colour
            picture[y1:y2, max(x1, x2 - line) : x2] = colour
    return picture


def _shown(found: Predictions, limits: NDArray[Any]) -> Predictions:
    keep = found.scores >= limits[found.labels] if len(found.labels) else np.zeros(0, dtype=bool)
    return Predictions(found.boxes[keep], found.scores[keep], found.labels[keep])


def _parts(evaluation: DetectionEvaluation, n: int, only_half: bool) -> Parts:
    return matched_parts(evaluation.truths, evaluation.founds, n, only_half)


def _frame(sample: Sample) -> Frame | None:
    try:
        return sample.read()
    except PictureError:
        return None


def _span(value: Rate) -> Span:
    assert value.value is not None  # an evaluation has pictures
    return Span(value=value.value, low=value.low, high=value.high)


def _interval(value: Interval) -> Span:
    return Span(value=value.value, low=value.low, high=value.high)
