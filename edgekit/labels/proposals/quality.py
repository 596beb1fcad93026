"""How good proposals were, once it is known what is in the pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit.errors import DataError
from edgekit.labels.proposals.base import Proposal
from edgekit.metrics.classification import Rate, plain, rate
from edgekit.metrics.ground_truth import GroundTruth
from edgekit.metrics.matching import NOBODY, take_turns
from edgekit.screen import count_of
from edgekit.vision.boxes import iou_matrix


@dataclass(frozen=True)
class ProposalQuality:
    """Proposals against labels.

    Labels that came from accepted proposals agree with them by themselves: only pictures that were labelled without
    looking at proposals, or all of them beside each other, say something.

    Attributes:
        pictures: how many.
        iou: what a right proposal overlaps its object by at least.
        recall: of the labelled objects, those that were proposed.
        precision: of the proposals, those that are right. Both with exact 95 % intervals, which take boxes for
            independent: where one picture has many, they are too narrow.
    """

    pictures: int
    iou: float
    recall: Rate
    precision: Rate

    def __str__(self) -> str:
        return (
            f"proposals against {self.pictures} labelled pictures, IoU {self.iou:g}, 95 % intervals: "
            f"recall {_text(self.recall, 'no objects')}, precision {_text(self.precision, 'no proposals')}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; what was not measured is null."""
        return plain(self)


def proposal_quality(
    proposed: Sequence[Sequence[Proposal]], truths: Sequence[GroundTruth], classes: Sequence[str], iou: float = 0.5
) -> ProposalQuality:
    """Recall and precision of the proposals for pictures with known objects.

    The best-scored proposal takes the free object of its class that it overlaps most, then the next one; a proposal
    without a class takes one of any. Proposals on what is set aside (crowds, difficult objects) are not counted.

    Args:
        proposed: one list a picture; labels are names of `classes`, another name is never right.
        truths: one a picture, in the same order.
        classes: the names of the truths' labels.

    Raises:
        DataError: not as many lists as pictures.
    """
    if len(proposed) != len(truths):
        raise DataError(
            "The proposals are not of these pictures.",
            got=f"{len(proposed)} lists",
            expected=f"{count_of(len(truths), 'picture')}",
        )
    found = shown = objects = 0
    names = {name: i for i, name in enumerate(classes)}
    for some, truth in zip(proposed, truths, strict=True):
        ranked = sorted(some, key=lambda one: -one.score)
        boxes = np.array([one.box for one in ranked], np.float64).reshape(-1, 4)
        labels = np.array([-1 if one.label is None else names.get(one.label, len(classes)) for one in ranked], np.int64)
        fits = (labels[:, None] == truth.labels) | (labels[:, None] == -1)
        (taken,) = take_turns(np.where(fits, iou_matrix(boxes, truth.boxes), -np.inf), [iou], ties="first")
        crowds = np.ones(len(truth.ignored_boxes), np.bool_)
        aside = (iou_matrix(boxes, truth.ignored_boxes, crowds) >= iou).any(axis=1) & (taken == NOBODY)
        found += int((taken != NOBODY).sum())
        shown += int((~aside).sum())
        objects += len(truth.boxes)
    return ProposalQuality(len(truths), iou, rate(found, objects), rate(found, shown))


def _text(value: Rate, none: str) -> str:
    if value.value is None:
        return f"not measured ({none})"
    return f"{value.value:.1%} [{value.low:.1%}, {value.high:.1%}] ({value.hits} of {value.n})"
