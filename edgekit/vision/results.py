"""What a model answers about one picture: one class a task, all of them used alike. numpy only, until they draw."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import UsageError
from edgekit.screen import shown
from edgekit.vision.draw import with_boxes, with_label
from edgekit.vision.image import Frame

_SUPERVISION = "to_supervision needs the package supervision, which is not installed: pip install supervision"


class Result(ABC):
    """The answer to one picture. `str` of it is a line for people, as `edgekit predict` prints it."""

    @abstractmethod
    def __str__(self) -> str: ...

    @abstractmethod
    def draw(self, frame: Frame) -> Frame:
        """A new picture, `frame` with the answer drawn on it: uint8 [h, w, 3] BGR, of the frame's size.

        Args:
            frame: uint8 [h, w, 3] BGR; the picture that was asked about, as `edgekit.read_picture` reads it.

        Raises:
            PictureError: not such a frame.
            ImportError: OpenCV is not installed.
        """

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, as `edgekit predict --format json` prints it: scores to 6 decimals, pixels to 2."""

    def says(self, label: str) -> bool:
        """Whether the answer is, or has among it, the class of this name.

        Raises:
            UsageError: an answer that names no class.
        """
        raise UsageError("This answer names no class.", got=type(self).__name__)

    def files(self) -> Mapping[str, bytes]:
        """What of the answer is a file of its own beside a drawn picture, as bytes by suffix. Here: nothing."""
        return {}

    def to_supervision(self) -> Any:
        """The answer as a class of roboflow's supervision, for its annotators, trackers and zones.

        Raises:
            ImportError: supervision is not installed.
            UsageError: supervision has no class for such an answer.
        """
        raise UsageError("supervision has no class for this answer.", got=type(self).__name__, fix="to_dict()")


@dataclass(frozen=True)
class Classification(Result):
    """What a picture shows. Its best answers can be counted, iterated over and indexed, as (label, score), best first.

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

    def __len__(self) -> int:
        return len(self.top)

    def __iter__(self) -> Iterator[tuple[str, float]]:
        return iter(self.top)

    @overload
    def __getitem__(self, at: int) -> tuple[str, float]: ...

    @overload
    def __getitem__(self, at: slice) -> tuple[tuple[str, float], ...]: ...

    def __getitem__(self, at: int | slice) -> tuple[str, float] | tuple[tuple[str, float], ...]:
        return self.top[at]

    def __str__(self) -> str:
        return "  ".join(f"{shown(label)} {score:.1%}" for label, score in self.top)

    def draw(self, frame: Frame) -> Frame:
        return with_label(frame, self)

    def says(self, label: str) -> bool:
        return self.label == label

    def to_dict(self) -> dict[str, Any]:
        best = [{"label": label, "score": round(score, 6)} for label, score in self.top]
        return {"label": self.label, "index": self.index, "score": round(self.score, 6), "top": best}

    def to_supervision(self) -> Any:
        """A supervision.Classifications of the classes in `top`, best first."""
        classifications = supervision_class("Classifications")
        order = np.argsort(-self.logits, kind="stable")[: len(self.top)]
        return classifications(
            class_id=order.astype(np.int64), confidence=np.array([score for _, score in self.top], dtype=np.float32)
        )


@dataclass(frozen=True)
class Detection:
    """One object that was found.

    Attributes:
        box: x1 y1 x2 y2 in continuous pixels of the picture, inside it.
        score: 0..1.
        label: class index.
        name: the class's name.
    """

    box: tuple[float, float, float, float]
    score: float
    label: int
    name: str

    def __str__(self) -> str:
        return f"{shown(self.name)} {self.score:.1%} [{' '.join(f'{v:.0f}' for v in self.box)}]"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, one of the `objects` of `Detections.to_dict`."""
        box = [round(v, 2) for v in self.box]
        return {"label": self.name, "index": self.label, "score": round(self.score, 6), "box": box}


@dataclass(frozen=True, eq=False, repr=False)
class Detections(Result):
    """What was found in a picture, best first.

    Iteration and `found[0]` give single ones (`Detection`). A slice, a bool mask [M] or an array of indices gives a
    Detections of those, as numpy does: `found[found.scores > 0.5]`, `found[np.array(found.names) == "bee"]`.

    Attributes:
        boxes: float32 [M, 4], x1 y1 x2 y2 in continuous pixels of the picture, inside it.
        scores: float32 [M], 0..1, descending.
        labels: int64 [M], class indices.
        names: M class names.
        alarms: names of the classes of which there is one in the picture, by the model's alarm thresholds, whatever
            boxes are shown; None where the model has none, and of a part of a Detections.
        areas: float32 [M], 0..1, the share of the picture that each one's own pixels have; None where only boxes are
            known.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    names: tuple[str, ...]
    alarms: tuple[str, ...] | None = None
    areas: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.scores)

    def __iter__(self) -> Iterator[Detection]:
        rows = zip(self.boxes.tolist(), self.scores.tolist(), self.labels.tolist(), self.names, strict=True)
        return (Detection(tuple(box), score, label, name) for box, score, label, name in rows)

    @overload
    def __getitem__(self, at: int) -> Detection: ...

    @overload
    def __getitem__(self, at: slice | Sequence[int] | Sequence[bool] | NDArray[Any]) -> Detections: ...

    def __getitem__(self, at: int | slice | Sequence[int] | Sequence[bool] | NDArray[Any]) -> Detection | Detections:
        if isinstance(at, (int, np.integer)) and not isinstance(at, bool):
            (one,) = self[[int(at)]]
            return one
        numbers = np.arange(len(self))[at if isinstance(at, slice) else _indices(at)]
        names = tuple(self.names[i] for i in numbers.tolist())
        areas = None if self.areas is None else self.areas[numbers]
        return Detections(self.boxes[numbers], self.scores[numbers], self.labels[numbers], names, areas=areas)

    def __str__(self) -> str:
        told = "  ".join(map(str, self)) or "nothing"
        return f"{told}  alarm: {', '.join(map(shown, self.alarms))}" if self.alarms else told

    def __repr__(self) -> str:
        return f"Detections({self})"

    def draw(self, frame: Frame) -> Frame:
        return with_boxes(frame, self)

    def says(self, label: str) -> bool:
        return label in self.names

    def to_dict(self) -> dict[str, Any]:
        alarms = {} if self.alarms is None else {"alarms": list(self.alarms)}
        return {"objects": [one.to_dict() for one in self], **alarms}

    def to_supervision(self) -> Any:
        """A supervision.Detections, with the names as `data["class_name"]`."""
        detections = supervision_class("Detections")
        return detections(
            xyxy=self.boxes.copy(),
            confidence=self.scores.copy(),
            class_id=self.labels.copy(),
            data={"class_name": np.array(self.names, dtype=np.str_)},
        )


def _indices(at: object) -> NDArray[Any]:
    """A bool mask or numbers, [K]. Raises IndexError for anything else."""
    array = np.asarray(at)
    if array.ndim != 1 or (array.dtype.kind not in "biu" and array.size):
        raise IndexError(
            f"got {array.dtype} {list(array.shape)}; expected a number, a slice, a bool mask or numbers [K]"
        )
    return array if array.size else array.astype(np.int64)


def supervision_class(name: str) -> Any:
    """A class of the package supervision. Raises ImportError where that is not installed."""
    try:
        import supervision
    except ImportError as error:
        raise ImportError(_SUPERVISION, name="supervision") from error
    return getattr(supervision, name)
