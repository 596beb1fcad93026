"""Eyes find insects in a frame with whatever model there is: of boxes, on the whole or on tiles, of masks or labels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgekit.camera.config import CameraConfig
from edgekit.camera.detect.motion import Motion
from edgekit.errors import UsageError
from edgekit.predictor import Predictor
from edgekit.tasks import task_of
from edgekit.vision.boxes import iou_matrix
from edgekit.vision.image import Frame
from edgekit.vision.labels import Labels
from edgekit.vision.results import Classification, Detections

_SAME = 0.5  # IoU from which on boxes of two tiles are one insect
_ONE = 0.65  # IoU from which on two classes name one insect; a bee that clings to a hornet overlaps it less
_EDGE = 2.0  # pixels; a box that ends at a tile's inner edge is cut there, and whole in the neighbour
_MARGIN = 0.35  # of a moving patch's side, around it
_SMALLEST_CROP = 48  # pixels
_CROPS = 8  # at a time, the largest


class Looks(Protocol):
    """What a detector needs of a `Predictor`."""

    def detect(self, frames: list[Frame], threshold: float | None = None) -> list[Detections]: ...

    def classify(self, frames: list[Frame], top: int = 5) -> list[Classification]: ...

    def labels(self, frames: list[Frame], threshold: float | None = None) -> list[Labels]: ...

    def __call__(self, frames: list[Frame]) -> list[Any]: ...


class Detector(ABC):
    """Finds insects.

    Attributes:
        needs_motion: whether `look` wants to know what moved.
        several: whether one place may have several labels at once, which then are all kept.
    """

    needs_motion = False
    several = False

    @abstractmethod
    def look(self, frame: Frame, motion: Motion | None) -> Detections:
        """What is in uint8 [h, w, 3] BGR, in its pixels, best first, down to the floor it was made with.

        Called from several threads at once where frames of a file are looked at ahead.
        """


class WholeFrameDetector(Detector):
    """A detector that sees the whole frame at once."""

    def __init__(self, model: Looks, floor: float) -> None:
        self._model, self._floor = model, floor

    def look(self, frame: Frame, motion: Motion | None) -> Detections:
        return self._model.detect([frame], self._floor)[0]


class SlicedDetector(Detector):
    """A detector that sees overlapping tiles, for insects that the resize would swallow, and the whole frame."""

    def __init__(self, model: Looks, floor: float, tiles: tuple[int, int], overlap: float) -> None:
        self._model, self._floor, self._tiles, self._overlap = model, floor, tiles, overlap

    def look(self, frame: Frame, motion: Motion | None) -> Detections:
        height, width = frame.shape[:2]
        places = tile_places(height, width, self._tiles, self._overlap)
        views = [np.ascontiguousarray(frame[y1:y2, x1:x2]) for x1, y1, x2, y2 in places]
        parts = self._model.detect([*views, frame], self._floor)
        moved = [
            _whole_ones(_moved(part, x1, y1), (x1, y1, x2, y2), height, width)
            for part, (x1, y1, x2, y2) in zip(parts, places, strict=False)
        ]
        return merged([*moved, parts[-1]])


class ClassifierDetector(Detector):
    """A classifier as a detector: the box is the frame, or each patch that moved.

    Args:
        absent: labels that mean there is nothing.
        crops: whether to look at what moved; a model trained on close-ups wants that.
    """

    def __init__(self, model: Looks, classes: tuple[str, ...], floor: float, absent: tuple[str, ...], crops: bool):
        unknown = sorted(set(absent) - set(classes))
        if unknown or not set(classes) - set(absent):
            raise UsageError(
                "model.absent does not fit the model.",
                got=", ".join(unknown) or "every class is absent",
                expected="some, not all, of " + ", ".join(classes),
            )
        self._model, self._classes, self._floor = model, classes, floor
        self._absent, self.needs_motion = set(absent), crops

    def look(self, frame: Frame, motion: Motion | None) -> Detections:
        height, width = frame.shape[:2]
        boxes = [(0.0, 0.0, float(width), float(height))]
        if self.needs_motion:
            boxes = crop_places(motion.boxes, height, width) if motion is not None else []
        views = [np.ascontiguousarray(frame[round(y1) : round(y2), round(x1) : round(x2)]) for x1, y1, x2, y2 in boxes]
        answers = self._answers(views) if views else []
        rows = [
            (score, self._classes.index(label), box)
            for answer, box in zip(answers, boxes, strict=True)
            for label, score in answer
            if label not in self._absent and score >= self._floor
        ]
        rows.sort(key=lambda row: -row[0])
        return Detections(
            np.array([box for _, _, box in rows], np.float32).reshape(-1, 4),
            np.array([score for score, _, _ in rows], np.float32),
            np.array([label for _, label, _ in rows], np.int64),
            tuple(self._classes[label] for _, label, _ in rows),
        )

    def _answers(self, views: list[Frame]) -> list[list[tuple[str, float]]]:
        """Of each view its labels with their scores: here the best one."""
        return [[(answer.label, answer.score)] for answer in self._model.classify(views, 1)]


class LabelsDetector(ClassifierDetector):
    """A multi-label classifier as a detector: every label is watched by its own score, whatever the others are."""

    several = True

    def _answers(self, views: list[Frame]) -> list[list[tuple[str, float]]]:
        return [[(one.label, one.score) for one in found] for found in self._model.labels(views, self._floor)]


class MaskDetector(Detector):
    """A segmentation model as a detector: what touches and is of one class is an insect, the box is around it, and its
    area is told.

    Args:
        absent: classes that are around the insects, such as the background.
        smallest: of the frame; a smaller piece is none.
    """

    several = True  # a pixel has one class: boxes that overlap are different things

    def __init__(self, model: Looks, floor: float, absent: tuple[str, ...], smallest: float) -> None:
        self._model, self._floor, self._absent, self._smallest = model, floor, absent, smallest

    def look(self, frame: Frame, motion: Motion | None) -> Detections:
        (masks,) = self._model([frame])
        pixels = max(1, round(self._smallest * frame.shape[0] * frame.shape[1]))
        found = sorted(masks.objects(pixels, self._absent), key=lambda one: -one.score)
        kept = [one for one in found if one.score >= self._floor]
        return Detections(
            np.array([one.box for one in kept], np.float32).reshape(-1, 4),
            np.array([one.score for one in kept], np.float32),
            np.array([one.label for one in kept], np.int64),
            tuple(one.name for one in kept),
            areas=np.array([one.pixels for one in kept], np.float32) / np.float32(frame.shape[0] * frame.shape[1]),
        )


def make_detector(predictor: Predictor, config: CameraConfig, floor: float) -> Detector:
    """The detector that fits the model's task and the configuration.

    Args:
        floor: smallest score of interest.
    """
    task = task_of(predictor.spec.task)
    make = _MAKERS.get(task.finds)
    if make is None:
        raise UsageError(
            "The camera cannot watch with this model.",
            got=f"{predictor.name}, a model for {task.name}",
            expected="a detector, a segmentation model or a classifier",
        )
    return make(predictor, config, floor)


def _by_label(predictor: Predictor, config: CameraConfig, floor: float) -> Detector:
    return ClassifierDetector(predictor, predictor.spec.classes, floor, config.model.absent, config.model.crops)


def _by_labels(predictor: Predictor, config: CameraConfig, floor: float) -> Detector:
    return LabelsDetector(predictor, predictor.spec.classes, floor, config.model.absent, config.model.crops)


def _by_boxes(predictor: Predictor, config: CameraConfig, floor: float) -> Detector:
    if config.model.absent or config.model.crops:
        raise UsageError("model.absent and model.crops are for classifiers.", got="a detector", fix="leave them out")
    if config.model.tiles != (1, 1):
        return SlicedDetector(predictor, floor, config.model.tiles, config.model.overlap)
    return WholeFrameDetector(predictor, floor)


def _by_masks(predictor: Predictor, config: CameraConfig, floor: float) -> Detector:
    if config.model.crops or config.model.tiles != (1, 1):
        raise UsageError(
            "model.crops and model.tiles are not for masks.", got="a segmentation model", fix="leave them out"
        )
    classes, absent = predictor.spec.classes, config.model.absent
    if not absent or not set(absent) < set(classes):
        raise UsageError(
            "A mask gives every pixel a class, so model.absent must say which of them are no insects.",
            got=", ".join(absent) or "none",
            expected="some, not all, of " + ", ".join(classes),
            fix=f"--set 'model.absent=[\"{classes[0]}\"]'",
        )
    return MaskDetector(predictor, floor, absent, config.model.smallest)


# by what a task's results say of things
_MAKERS: dict[str, Callable[[Predictor, CameraConfig, float], Detector]] = {
    "label": _by_label,
    "labels": _by_labels,
    "boxes": _by_boxes,
    "masks": _by_masks,
}


def tile_places(height: int, width: int, tiles: tuple[int, int], overlap: float) -> list[tuple[int, int, int, int]]:
    """x1 y1 x2 y2 of `tiles` (columns, rows) that cover the frame, all of one size, neighbours overlapping."""

    def spans(length: int, count: int) -> list[tuple[int, int]]:
        side = min(length, round(length / (count - (count - 1) * overlap)))
        starts = [round(i * (length - side) / max(1, count - 1)) for i in range(count)]
        return [(start, start + side) for start in starts]

    return [(x1, y1, x2, y2) for y1, y2 in spans(height, tiles[1]) for x1, x2 in spans(width, tiles[0])]


def crop_places(boxes: NDArray[np.float32], height: int, width: int) -> list[tuple[float, float, float, float]]:
    """Squares around moving patches, inside the frame, the largest patches first."""
    order = np.argsort(-(boxes[:, 2:] - boxes[:, :2]).prod(axis=1), kind="stable")[:_CROPS]
    places = []
    for x1, y1, x2, y2 in boxes[order].tolist():
        side = max(_SMALLEST_CROP, max(x2 - x1, y2 - y1) * (1 + 2 * _MARGIN))
        side = min(side, height, width)
        left = min(max(0.0, (x1 + x2 - side) / 2), width - side)
        top = min(max(0.0, (y1 + y2 - side) / 2), height - side)
        places.append((left, top, left + side, top + side))
    return places


def merged(parts: list[Detections]) -> Detections:
    """All detections, best first, without those that overlap a better one of their class by half."""
    boxes = np.concatenate([part.boxes for part in parts])
    scores = np.concatenate([part.scores for part in parts])
    labels = np.concatenate([part.labels for part in parts])
    names = [name for part in parts for name in part.names]
    order = np.argsort(-scores, kind="stable")
    same = (iou_matrix(boxes, boxes) >= _SAME) & (labels[:, None] == labels)
    return _picked(Detections(boxes, scores, labels, tuple(names)), _best_of_each(order, same))


def one_label_each(found: Detections) -> Detections:
    """Without what lies nearly where a better one of another class lies: an insect is not a bee and a hornet."""
    if len(found) < 2:
        return found
    same = (iou_matrix(found.boxes, found.boxes) >= _ONE) & (found.labels[:, None] != found.labels)
    return _picked(found, _best_of_each(np.argsort(-found.scores, kind="stable"), same))


def _best_of_each(order: NDArray[np.intp], same: NDArray[np.bool_]) -> list[int]:
    kept: list[int] = []
    for i in order.tolist():
        if not same[i, kept].any():
            kept.append(i)
    return kept


def _picked(found: Detections, rows: list[int]) -> Detections:
    return Detections(found.boxes[rows], found.scores[rows], found.labels[rows], tuple(found.names[i] for i in rows))


def _moved(found: Detections, x: int, y: int) -> Detections:
    return Detections(found.boxes + np.array([x, y, x, y], np.float32), found.scores, found.labels, found.names)


def _whole_ones(found: Detections, tile: tuple[int, int, int, int], height: int, width: int) -> Detections:
    """Without those that a tile's inner edge cuts."""
    x1, y1, x2, y2 = tile
    boxes = found.boxes
    cut = (boxes[:, 0] < x1 + _EDGE) & (x1 > 0) | (boxes[:, 2] > x2 - _EDGE) & (x2 < width)
    cut |= (boxes[:, 1] < y1 + _EDGE) & (y1 > 0) | (boxes[:, 3] > y2 - _EDGE) & (y2 < height)
    return _picked(found, np.flatnonzero(~cut).tolist())
