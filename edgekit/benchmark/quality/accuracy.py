"""Accuracy of a model on pictures of which the answer is known, whatever runs it and whatever it is for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from edgekit.data import Dataset, Sample
from edgekit.errors import DataError, PictureError
from edgekit.predictor import Frame, Predictor
from edgekit.progress import track
from edgekit.tasks.evaluation import Answered, Evaluation


def evaluate(predictor: Predictor, dataset: Dataset, known: list[Sample] | None = None) -> Evaluation:
    """Runs every picture of a data set, a few in memory at a time.

    Args:
        known: gets the samples that could be read, in the evaluation's order.

    Raises:
        DataError: pictures without the labels that the model's task needs, or none that can be read.
    """
    task = predictor.task
    if not task.known(dataset):
        raise task.unknown(dataset)
    known = [] if known is None else known
    unread: list[str] = []
    evaluation = task.evaluate(_answered(predictor, dataset, known, unread), predictor.spec)
    return replace(evaluation, unread=tuple(unread))


def _answered(predictor: Predictor, dataset: Dataset, known: list[Sample], unread: list[str]) -> Iterator[Answered]:
    count = 0
    for count, (outputs, shape) in enumerate(predictor.rows(readable(dataset, known, unread)), 1):
        yield Answered(outputs, shape, known[count - 1])
    if not count:
        raise DataError("None of the pictures can be read.", got="; ".join(unread[:3]), expected="readable pictures")


def readable(samples: Iterable[Sample], known: list[Sample], unread: list[str]) -> Iterator[Frame]:
    """The frames that can be read; `known` gets their samples, `unread` the names of the others."""
    for sample in track(samples, "looking at pictures"):
        try:
            frame = sample.read()
        except PictureError as error:
            unread.append(f"{sample.name}: {error.got or error.what}")
            continue
        known.append(sample)
        yield frame
