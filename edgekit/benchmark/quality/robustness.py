"""How right a model stays when the picture is bad, or was made to fool it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from edgekit.benchmark.quality.accuracy import evaluate
from edgekit.benchmark.quality.corruptions import CORRUPTIONS, SEVERITIES, corrupted
from edgekit.benchmark.schema import Robustness
from edgekit.data import Dataset
from edgekit.errors import DataError
from edgekit.metrics.classification import topk_hits
from edgekit.predictor import Predictor
from edgekit.progress import track, working
from edgekit.screen import count_of, some
from edgekit.vision.image import Frame


@dataclass(frozen=True)
class Attacked:
    """Pictures that were made to fool a net, resized already, of one kind of attack.

    Attributes:
        pixels: uint8 [N, H, W, 3] BGR of each strength, by its name (a number as text, growing).
        labels: int [N], what they really show.
    """

    kind: str
    pixels: Mapping[str, NDArray[np.uint8]]
    labels: NDArray[np.int64]
    examples: Sequence[Mapping[str, str]] = field(default=())


def robustness(
    predictor: Predictor,
    dataset: Dataset,
    kinds: Sequence[str] = tuple(CORRUPTIONS),
    attacks: Sequence[Attacked] = (),
    say: Callable[[str], None] = lambda _: None,
) -> Robustness:
    """Accuracy of every corruption and severity, and of every attack.

    The metric is the task's main one: top-1 of a classifier, AP50 of a detector. The average is over all corruptions
    and severities, the worst is the worst single one.

    Raises:
        DataError: pictures without labels, or no object in any of them.
    """
    task = predictor.task
    if not task.known(dataset):
        raise DataError("Robustness needs pictures with labels.", got=f"layout {dataset.layout!r}", expected="labels")
    if not task.anything(dataset):
        raise DataError(
            "Robustness needs objects to find.",
            got=f"{count_of(len(dataset), 'picture')} without one",
            expected="some with objects",
        )
    found: dict[str, list[float]] = {}
    with working("robustness", 1 + len(kinds) * len(SEVERITIES)) as work:
        clean = figure(predictor, dataset)
        work.step()
        for kind in kinds:
            say(f"robustness: {kind}")
            found[kind] = []
            for severity in SEVERITIES:
                changed = tuple(corrupted(s, kind, severity, seed=i) for i, s in enumerate(dataset))
                found[kind].append(figure(predictor, replace(dataset, samples=changed)))
                work.step(detail=kind)
    every = [v for values in found.values() for v in values]
    fitting = [a for a in attacks if task.attackable]
    scored = {a.kind: score(predictor, a) for a in track(fitting, "scoring attacks")}
    return Robustness(
        metric=task.main,
        n=len(dataset),
        clean=clean,
        corruptions=found,
        attacks=scored,
        attacked={a.kind: len(a.labels) for a in fitting},
        average=float(np.mean(every)) if every else None,
        worst=(min if task.metric(task.main).larger_is_better else max)(every) if every else None,
    )


def figure(predictor: Predictor, dataset: Dataset) -> float:
    """The task's main metric of the pictures."""
    evaluation = evaluate(predictor, dataset)
    if evaluation.main is None:
        raise DataError("No picture with an object can be read.", got=some(evaluation.unread), expected="one or more")
    return evaluation.main


def score(predictor: Predictor, attacked: Attacked) -> dict[str, float]:
    """Top-1 at each strength of an attack."""
    found = {}
    for strength, pixels in attacked.pixels.items():
        rows: list[Frame] = list(pixels)
        found[strength] = float(topk_hits(predictor.logits_of_pixels(rows), attacked.labels, 1).mean())
    return found
