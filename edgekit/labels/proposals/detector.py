"""Proposals of any detector that edgekit opens."""

from __future__ import annotations

from edgekit.labels.proposals.base import Proposal
from edgekit.predictor import Predictor
from edgekit.tasks import TASKS
from edgekit.vision.boxes import area
from edgekit.vision.image import Frame


class DetectorProposer:
    """What a detector finds, with the names of its classes.

    Args:
        predictor: of a detector (`edgekit.loading.open_predictor`).
        threshold: smallest score of a proposal, 0 to 1; None takes the model's own of each class, or 0.3 where it has
            none. A lower one finds more and costs more keys than it saves: docs/proposals.md.

    Raises:
        UsageError: a model that is no detector.
    """

    def __init__(self, predictor: Predictor, threshold: float | None = None) -> None:
        TASKS["detection"].only(predictor.spec.task, predictor.name)
        self.predictor = predictor
        self.classes = predictor.spec.classes
        own = predictor.spec.thresholds or (0.3,) * len(self.classes)
        self.thresholds = tuple(own) if threshold is None else (threshold,) * len(own)

    def __call__(self, frame: Frame) -> list[Proposal]:
        (found,) = self.predictor.detect([frame], min(self.thresholds))
        return [
            Proposal(one.box, one.name, one.score)
            for one in found
            if one.score >= self.thresholds[one.label] and area(one.box) > 0
        ]
