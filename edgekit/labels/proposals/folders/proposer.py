"""Proposals for a data set of which only present and absent are known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgekit.data.sample import Dataset, sample_evenly
from edgekit.labels.proposals.base import Proposal
from edgekit.labels.proposals.folders.candidates import outermost, salient
from edgekit.labels.proposals.folders.crops import Describe, drawn
from edgekit.labels.proposals.folders.ranking import Ranking, rank
from edgekit.labels.proposals.folders.sides import Sides
from edgekit.progress import track
from edgekit.vision.boxes import clip
from edgekit.vision.image import Frame

ENOUGH = 200  # pictures of each side to learn from
_SHARED = 0.5  # of the smaller one's area, from which on two proposals are one thing or a part of it
_MOST = 6  # proposals a picture
_LEAST = 0.5

Candidates = Callable[[Frame], NDArray[np.float64]]


class FolderProposer:
    """What stands out and looks like nothing in absent pictures, named like the present folder.

    Args:
        ranking: learnt by `learn`.
        label: the name that proposals get.
        candidates, describe: those that the ranking was learnt with.
    """

    def __init__(
        self, ranking: Ranking, label: str, candidates: Candidates = salient, describe: Describe = drawn
    ) -> None:
        self.ranking, self.label = ranking, label
        self._candidates, self._describe = candidates, describe

    def __call__(self, frame: Frame) -> list[Proposal]:
        """Proposals with a score of 0.5 and above, at most six; where there are none, the best candidate alone."""
        boxes = clip(self._candidates(frame), *frame.shape[:2])
        boxes = boxes[(boxes[:, 2:] > boxes[:, :2]).all(axis=1)]
        if not len(boxes):
            return []
        scores = self.ranking.scores(self._describe(frame, boxes))
        order = np.argsort(-scores, kind="stable")
        boxes, scores = boxes[order], scores[order]
        kept = [i for i in outermost(boxes, _SHARED, _MOST) if i == 0 or scores[i] >= _LEAST]
        return [Proposal((*boxes[i].tolist(),), self.label, float(scores[i])) for i in kept]


def learn(
    dataset: Dataset,
    sides: Sides,
    candidates: Candidates = salient,
    describe: Describe = drawn,
    enough: int = ENOUGH,
) -> FolderProposer:
    """Looks at the pictures of both sides, at most `enough` of each, and learns to rank their candidates.

    Raises:
        DataError: a side without candidates.
        PictureError: a picture that cannot be read.
    """
    rows: dict[bool, list[NDArray[np.float32]]] = {}
    for side in (True, False):
        samples = tuple(s for s, present in zip(dataset, sides.of, strict=True) if present is side)
        some = sample_evenly(Dataset(samples, dataset.classes, dataset.layout), enough) if samples else ()
        rows[side] = []
        for sample in track(tuple(some), "looking for candidates"):
            frame = sample.read()
            rows[side].append(describe(frame, candidates(frame)))
    return FolderProposer(rank(rows[True], rows[False]), sides.present, candidates, describe)
