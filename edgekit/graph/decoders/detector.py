"""What all detectors' decoders have in common: places with a box and scores each, of which the best K are given."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.graph.builder import Builder
from edgekit.graph.decoders.base import Arrays, Decoder, Kept, Reading, Seen, Size
from edgekit.graph.decoders.select import Places, select
from edgekit.vision.suppress import suppress


@dataclass(frozen=True)
class Found:
    """What a detector says at all of its places, in numpy.

    Attributes:
        boxes: [N, P, 4], x1 y1 x2 y2 in input pixels.
        scores: [N, P, C], 0 to 1.
        labels: [N, P], where the net gives them itself.
        every: whether one place may give a box for each of its classes; otherwise the best one counts.
        class_by_class: the order of equal scores, where every class counts.
    """

    boxes: NDArray[Any]
    scores: NDArray[Any]
    labels: NDArray[Any] | None = None
    every: bool = False
    class_by_class: bool = False


class Detector(Decoder):
    """A decoder whose outputs are `boxes`, `scores` and `labels`; how a box is made is the subclass's part, twice."""

    @abstractmethod
    def places(self, b: Builder, reading: Reading, seen: Seen) -> Places:
        """Scores and box numbers of all places as tensors of the graph, and how a box is made of them."""

    @abstractmethod
    def found(self, reading: Reading, size: Size, outputs: Arrays) -> Found:
        """The same of all places in numpy, without any of the code for the graph."""

    def append(self, b: Builder, reading: Reading, seen: Seen, kept: Kept) -> dict[str, str]:
        return select(b, self.places(b, reading, seen), kept)

    def reference(self, reading: Reading, size: Size, outputs: Arrays, kept: Kept) -> dict[str, NDArray[Any]]:
        found = self.found(reading, size, outputs)
        n = len(found.boxes)
        boxes = np.zeros((n, kept.keep, 4), np.float32)
        scores = np.zeros((n, kept.keep), np.float32)
        labels = np.zeros((n, kept.keep), np.int32)
        for i in range(n):
            box, score, label = _best(found, i, kept)
            boxes[i, : len(box)], scores[i, : len(box)], labels[i, : len(box)] = box, score, label
            if np.isnan(found.scores[i]).any():
                scores[i] = np.nan
        return {"boxes": boxes, "scores": scores, "labels": labels}


def _best(found: Found, i: int, kept: Kept) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Of one picture: boxes, scores and labels that are given, best first; the suppressed ones last, with score 0."""
    every = found.scores[i].astype(np.float32)  # [P, C]; which are equal is a question of what is given
    if found.every and found.class_by_class:
        score = every.T.reshape(-1)
        box, label = np.tile(found.boxes[i], (every.shape[1], 1)), np.repeat(np.arange(every.shape[1]), len(every))
    elif found.every:
        score = every.reshape(-1)
        box, label = np.repeat(found.boxes[i], every.shape[1], axis=0), np.tile(np.arange(every.shape[1]), len(every))
    else:
        score, box, label = every.max(axis=1), found.boxes[i], found.scores[i].argmax(axis=1)
    if found.labels is not None:
        label = found.labels[i]
    order = np.argsort(-score, kind="stable")[: kept.looked_at]
    score, box, label = score[order], box[order], label[order]
    if kept.suppression is not None:
        score = np.where(suppress(box, score, label, kept.suppression), score, 0)
        order = np.argsort(-score, kind="stable")[: kept.keep]
        score, box, label = score[order], box[order], label[order]
    return box, score, label


def centred(cx: NDArray[Any], cy: NDArray[Any], w: NDArray[Any], h: NDArray[Any]) -> NDArray[np.float64]:
    """float64 [..., 4], x1 y1 x2 y2 around a centre; a negative size counts as 0."""
    w, h = np.maximum(w, 0), np.maximum(h, 0)
    return np.stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], axis=-1)
