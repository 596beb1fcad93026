"""What a multi-label classifier answers: any number of labels for one picture, each with a score of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgekit.errors import InputError, UsageError
from edgekit.screen import count_of, shown
from edgekit.vision.draw import with_labels
from edgekit.vision.image import Frame
from edgekit.vision.results import Result, supervision_class

DEFAULT_SCORE = 0.5  # the score from which on a label is told where no threshold was chosen on data


@dataclass(frozen=True)
class Label:
    """One label that a picture has.

    Attributes:
        label: its name.
        score: a sigmoid's, 0..1; the scores of a picture do not add up to anything.
        index: class index.
    """

    label: str
    score: float
    index: int

    def __str__(self) -> str:
        return f"{shown(self.label)} {self.score:.1%}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, one of the `labels` of `Labels.to_dict`."""
        return {"label": self.label, "index": self.index, "score": round(self.score, 6)}


@dataclass(frozen=True)
class Labels(Result):
    """The labels of a picture whose score reaches their threshold, best first: none, one or several.

    They can be counted, iterated over and indexed, each a `Label`; `"hornet" in found` asks for a name.

    Attributes:
        told: those labels.
        best: the best ones whether they reach their threshold or not, as many as were asked for.
        scores: float32 [C] of all classes, read-only; left out of == and of the text form.
    """

    told: tuple[Label, ...]
    best: tuple[Label, ...]
    scores: NDArray[np.float32] = field(repr=False, compare=False)

    def __len__(self) -> int:
        return len(self.told)

    def __iter__(self) -> Iterator[Label]:
        return iter(self.told)

    def __contains__(self, wanted: object) -> bool:
        return any(wanted in (one, one.label) for one in self.told)

    @overload
    def __getitem__(self, at: int) -> Label: ...

    @overload
    def __getitem__(self, at: slice) -> tuple[Label, ...]: ...

    def __getitem__(self, at: int | slice) -> Label | tuple[Label, ...]:
        return self.told[at]

    def __str__(self) -> str:
        return "  ".join(map(str, self.told)) or f"nothing (the best is {self.best[0]})"

    def draw(self, frame: Frame) -> Frame:
        return with_labels(frame, self.told)

    def says(self, label: str) -> bool:
        return label in self

    def to_dict(self) -> dict[str, Any]:
        return {"labels": [one.to_dict() for one in self.told], "best": [one.to_dict() for one in self.best]}

    def to_supervision(self) -> Any:
        """A supervision.Classifications of the labels that are told, best first."""
        return supervision_class("Classifications")(
            class_id=np.array([one.index for one in self.told], dtype=np.int64),
            confidence=np.array([one.score for one in self.told], dtype=np.float32),
        )


def labels_of(scores: ArrayLike, classes: Sequence[str], thresholds: Sequence[float], top: int = 5) -> list[Labels]:
    """One answer a row; among equal scores the lower class index comes first.

    Args:
        scores: [N, C], after the sigmoid.
        classes: C names.
        thresholds: C numbers, 0..1: a label is told from its score on.
        top: how many answers to keep in `Labels.best`; more than C gives C.

    Raises:
        UsageError: `top` below 1.
        InputError: a shape that does not fit the classes, or a score that is not finite.
    """
    if top < 1:
        raise UsageError("top must be at least 1.", got=str(top), expected="1 or more")
    rows = np.asarray(scores, dtype=np.float32)
    if rows.ndim != 2 or rows.shape[1] != len(classes) or not classes:
        raise InputError(
            "The scores do not fit the classes.",
            got=f"scores {list(rows.shape)}, {count_of(len(classes), 'class')}",
            expected="scores [N, C] with one column a class",
            fix="use the classes the model was exported with",
        )
    if not np.isfinite(rows).all():
        raise InputError(
            "The net gave scores that are not finite.",
            got=f"NaN or infinity in {int((~np.isfinite(rows)).any(axis=1).sum())} of {len(rows)} rows",
            expected="finite numbers",
            fix="verify the model: edgekit verify; a half-precision overflow is the usual cause",
        )
    limits = np.asarray(thresholds, dtype=np.float64)
    answers = []
    for row in rows:
        order = np.argsort(-row, kind="stable").tolist()
        found = [Label(classes[i], float(row[i]), i) for i in order]
        own = row.copy()  # the session writes its next answer into the same buffer
        own.flags.writeable = False
        told = tuple(one for one in found if row[one.index] >= limits[one.index])
        answers.append(Labels(told, tuple(found[:top]), own))
    return answers
