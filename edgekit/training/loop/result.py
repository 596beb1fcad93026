"""What a training leaves in its folder, and what it says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgekit.training.loop.choice import Choice

STATE, LAST, BEST, START = "last.state.pt", "last.pt", "best.pt", "start.pt"


@dataclass(frozen=True)
class TrainResult:
    """How a training ended.

    Attributes:
        best, last: checkpoints, with the weights' running mean where the recipe has one.
        metrics: of the best checkpoint, on the validation data, as the file itself has them.
        final: of the last one. It was not chosen by its score, so it flatters less.
        epochs: done.
        best_epoch: the row of `best`: an epoch counted from 1, 0 for the fitted head alone, `epochs` + 1 for the head
            that was fitted again at the end or the weights that the starting ones were mixed into.
        seconds: of this process, evaluation included.
        images_per_second: while training, evaluation left out.
        skipped: pictures that could not be read on the way.
        rows: what metrics.csv has, one an epoch, and one each for the head that was fitted before and after. `scored`
            marks those that were evaluated, `best` the one of the best checkpoint.
        chosen: whether `best` was chosen by its score on the validation data; else it is the last.
        choice: which way of fine-tuning was worth it and why, where several competed.
    """

    best: Path
    last: Path
    metrics: Mapping[str, float]
    final: Mapping[str, float]
    epochs: int
    best_epoch: int
    seconds: float
    images_per_second: float
    skipped: tuple[str, ...]
    rows: tuple[Mapping[str, float], ...] = ()
    chosen: bool = True
    choice: Choice | None = None
