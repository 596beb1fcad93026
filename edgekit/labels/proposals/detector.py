"""Proposals of any detector that edgekit opens."""

from __future__ import annotations

from edgekit.data.sample import class_index
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
        only: the one class that is wanted, by the name that its proposals get; all boxes get it where the model has no
            class of this name. None: all classes, under the model's names.

    Raises:
        UsageError: a model that is no detector.
    """

    def __init__(self, predictor: Predictor, threshold: float | None = None, only: str | None = None) -> None:
        TASKS["detection"].only(predictor.spec.task, predictor.name)
        self.predictor, self._only = predictor, only
        self._wanted = None if only is None else class_index(only, predictor.spec.classes)
        self.classes = predictor.spec.classes if only is None else (only,)
        own = predictor.spec.thresholds or (0.3,) * len(predictor.spec.classes)
        self.thresholds = tuple(own) if threshold is None else (threshold,) * len(own)

    def __call__(self, frame: Frame) -> list[Proposal]:
        (found,) = self.predictor.detect([frame], min(self.thresholds))
        return [
            Proposal(one.box, self._only or one.name, one.score)
            for one in found
            if one.score >= self.thresholds[one.label]
            and area(one.box) > 0
            and (self._wanted is None or one.label == self._wanted)
        ]
