"""What a comparison of two models' outputs found: the figures, what failed, and where the difference arises."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class FirstWrong:
    """The first tensor, in the order of execution, that differs."""

    tensor: str
    max_abs: float
    peak: float

    def __str__(self) -> str:
        return f"{self.tensor} (max|d| {self.max_abs:.3g}, largest value {self.peak:.3g})"


@dataclass(frozen=True)
class FoundShare:
    """Detections compared as sets, since near-ties come in another order on another runtime.

    Attributes:
        boxes: how many of both sides had to have a partner: every one with a score of at least 0.05 and the ten best of
            each picture, or, where the limits say so, those that are shown.
        matched: share of those that have one on the other side: same class, and the limits' IoU or corners within 0.1
            pixel; ties on a plateau, see `edgekit.tasks.detection.compare.PLATEAU`, up to a fiftieth of all,
            and `FAR_TIED`, up to one in 500.
        max_shift: largest distance of any corner of a matched box, in the net's pixels.
    """

    boxes: int
    matched: float
    max_shift: float


@dataclass(frozen=True)
class Stage:
    """One step of an export, compared with the checkpoint.

    Attributes:
        name: `preprocess`, `fold`, `onnx`, `batch` or `file`.
        passed: whether all limits hold.
        max_abs: largest |difference| of any logit: the smallest absolute tolerance that would pass.
        max_rel: the same over the largest |logit|: the smallest relative tolerance that would pass.
        top1_agreement: share of pictures with the same first class; a flip between two classes that the reference
            itself has within the tolerance of each other counts as agreement and in `ties`. None where a task has no
            first class; `ties` of detection are on plateaus.
        pictures: how many were compared.
        problems: what failed, in words; empty when passed.
        first_wrong: where the difference arises, when that is known.
        found: for detection, and None else: how the boxes compare. `max_abs` is then the largest difference of any
            score, and `max_rel` that over the largest score.
        own: figures that only this task has, by name; they stand beside the others in a report.
    """

    name: str
    passed: bool
    max_abs: float
    max_rel: float
    top1_agreement: float | None
    ties: int
    pictures: int
    problems: tuple[str, ...] = ()
    first_wrong: FirstWrong | None = None
    found: FoundShare | None = None
    own: Mapping[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: a difference that is not a number is null."""
        plain = {**asdict(self), "problems": list(self.problems)}
        own = plain.pop("own")
        data: dict[str, Any] = finite({**plain, **own})
        return data


def finite(value: Any) -> Any:
    """`value` with None for every NaN and infinity in it: JSON has neither."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
