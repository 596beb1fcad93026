"""What a model answers about one picture. numpy only."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Classification:
    """What a picture shows.

    Attributes:
        index: class index of the best answer.
        label: its name.
        score: its softmax probability, 0..1.
        top: the best answers as (label, score), best first; the first one is (label, score).
        logits: float32 [C], read-only; left out of == and of the text form.
    """

    index: int
    label: str
    score: float
    top: tuple[tuple[str, float], ...]
    logits: NDArray[np.float32] = field(repr=False, compare=False)


@dataclass(frozen=True, eq=False)
class Detections:
    """What was found in a picture, best first.

    Attributes:
        boxes: float32 [M, 4], x1 y1 x2 y2 in continuous pixels of the picture, inside it.
        scores: float32 [M], 0..1, descending.
        labels: int64 [M], class indices.
        names: M class names.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.scores)
