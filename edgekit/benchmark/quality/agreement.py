"""Two models on the same pictures: how often they agree, whether one is worse, and where they differ most."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgekit.benchmark.schema import Accuracy, Agreement, Disagreement, Operating, Span
from edgekit.data import Dataset, Sample
from edgekit.errors import PictureError
from edgekit.metrics.statistics import Interval
from edgekit.tasks.evaluation import DifferingPicture, Evaluation, Shown
from edgekit.vision.image import Frame, encode_picture

THUMBNAIL = 176  # pixels, the longer side


@dataclass(frozen=True)
class Answers:
    """An evaluation of a model of this task, and the pictures that were read, in order."""

    task: str
    evaluation: Evaluation
    samples: tuple[Sample, ...]


def accuracy(answers: Answers) -> Accuracy:
    """The report's form of an evaluation: Clopper-Pearson intervals of rates, bootstrap intervals of AP."""
    evaluation = answers.evaluation
    found = evaluation.figures()
    return Accuracy(
        task=answers.task,
        n=found.n,
        metrics={name: _span(interval) for name, interval in found.metrics.items()},
        classes=dict(evaluation.classes),
        class_counts=dict(found.class_counts),
        unread=list(evaluation.unread),
        curves={name: [_operating(shown) for shown in points] for name, points in found.curves.items()},
        operating={name: _operating(shown) for name, shown in found.operating.items()},
    )


def agreement(reference: Answers, candidate: Answers, name: str, pictures: bool = True) -> Agreement:
    """How the candidate's answers differ from those of `name`. Both must have read the same pictures.

    Args:
        pictures: keep thumbnails of those that differ most.
    """
    found = reference.evaluation.against(candidate.evaluation)
    return Agreement(
        reference=name,
        share=None if found.share is None else _span(found.share),
        difference=None if found.difference is None else _span(found.difference),
        p_value=found.p_value,
        only_reference=found.only_reference,
        only_candidate=found.only_candidate,
        verdict=found.verdict,
        worst=[_disagreement(one, reference.samples[one.index], pictures) for one in found.worst],
    )


def _disagreement(found: DifferingPicture, sample: Sample, pictures: bool) -> Disagreement:
    frame = _frame(sample) if pictures else None
    if frame is not None and found.draw is not None:
        frame = found.draw(frame)
    return Disagreement(
        picture=sample.name,
        truth=found.truth,
        reference=found.reference,
        candidate=found.candidate,
        weight=found.weight,
        jpeg=thumbnail(frame),
    )


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


def _frame(sample: Sample) -> Frame | None:
    try:
        return sample.read()
    except PictureError:
        return None


def _span(value: Interval) -> Span:
    return Span(value=value.value, low=value.low, high=value.high)


def _operating(shown: Shown) -> Operating:
    return Operating(threshold=shown.threshold, recall=shown.recall, precision=shown.precision)
