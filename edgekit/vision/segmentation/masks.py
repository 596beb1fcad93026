"""What a segmentation model answers: the class of every pixel of a picture, with a score. numpy, until it draws."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgekit.errors import InputError
from edgekit.screen import shown
from edgekit.vision.image import Frame
from edgekit.vision.preprocess import Geometry
from edgekit.vision.results import Result, supervision_class
from edgekit.vision.segmentation.overlay import with_masks
from edgekit.vision.segmentation.png import mask_png

NOTHING = -1  # in a mask: no class, since the net did not see the pixel or was less sure than was asked for
_SHOWN = 4  # classes in a line for people


@dataclass(frozen=True)
class ClassArea:
    """All pixels of one class.

    Attributes:
        label: the class's name.
        index: its index.
        pixels: how many of the picture.
        share: of the picture, 0..1.
        score: the mean of their scores, 0..1.
    """

    label: str
    index: int
    pixels: int
    share: float
    score: float

    def __str__(self) -> str:
        return f"{shown(self.label)} {self.share:.1%}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, one of the `areas` of `Masks.to_dict`."""
        return {
            "label": self.label,
            "index": self.index,
            "pixels": self.pixels,
            "share": round(self.share, 6),
            "score": round(self.score, 6),
        }


@dataclass(frozen=True)
class MaskObject:
    """Pixels of one class that touch, sides or corners.

    Attributes:
        box: x1 y1 x2 y2 in continuous pixels of the picture.
        pixels: how many.
        score: the mean of their scores, 0..1.
        label: class index.
        name: the class's name.
        mask: bool [y2 - y1, x2 - x1], which pixels of the box.
    """

    box: tuple[int, int, int, int]
    pixels: int
    score: float
    label: int
    name: str
    mask: NDArray[np.bool_] = field(repr=False, compare=False)

    def __str__(self) -> str:
        return f"{shown(self.name)} {self.pixels} px [{' '.join(map(str, self.box))}]"


@dataclass(frozen=True, eq=False, repr=False)
class Masks(Result):
    """The class of every pixel. Iteration gives the classes that are there (`ClassArea`), the largest first.

    `found["road"]` is bool [h, w], where that class is; `"road" in found` asks whether it is anywhere.

    Attributes:
        mask: int16 [h, w] of class indices, of the picture's size; -1 where the net gives no class.
        score: float32 [h, w], 0..1, of that class; 0 where there is none.
        classes: C names.
    """

    mask: NDArray[np.int16]
    score: NDArray[np.float32]
    classes: tuple[str, ...]

    @cached_property
    def areas(self) -> tuple[ClassArea, ...]:
        """The classes that are there, the largest first."""
        seen = self.mask.ravel() + 1
        pixels = np.bincount(seen, minlength=len(self.classes) + 1)[1:]
        scores = np.bincount(seen, weights=self.score.ravel(), minlength=len(self.classes) + 1)[1:]
        return tuple(
            ClassArea(self.classes[i], i, int(pixels[i]), float(pixels[i] / seen.size), float(scores[i] / pixels[i]))
            for i in np.argsort(-pixels, kind="stable").tolist()
            if pixels[i]
        )

    def __len__(self) -> int:
        return len(self.areas)

    def __iter__(self) -> Iterator[ClassArea]:
        return iter(self.areas)

    def __contains__(self, name: object) -> bool:
        return any(name == area.label for area in self.areas)

    def __getitem__(self, name: str) -> NDArray[np.bool_]:
        """Where a class is, bool [h, w]. Raises KeyError for a name that is no class."""
        if name not in self.classes:
            raise KeyError(f"got {name!r}; expected one of {', '.join(self.classes)}")
        return np.asarray(self.mask == self.classes.index(name))

    def __str__(self) -> str:
        told = "  ".join(map(str, self.areas[:_SHOWN])) or "nothing"
        more = len(self.areas) - _SHOWN
        return f"{told}  and {more} more" if more > 0 else told

    def __repr__(self) -> str:
        return f"Masks({self})"

    def objects(self, smallest: int = 1, without: Collection[str] = ()) -> tuple[MaskObject, ...]:
        """Connected pixels of one class (8 neighbours), the largest first.

        Args:
            smallest: fewer pixels are no object.
            without: names of classes that are no objects, such as the background.

        Raises:
            ImportError: OpenCV is not installed.
        """
        import cv2

        found = []
        for area in self.areas:
            if area.label in without:
                continue
            own = (self.mask == area.index).astype(np.uint8)
            _, marks, places, _ = cv2.connectedComponentsWithStats(own, connectivity=8)
            for number, (x, y, w, h, pixels) in enumerate(places.tolist()[1:], 1):
                if pixels >= smallest:
                    inside = marks[y : y + h, x : x + w] == number
                    score = float(self.score[y : y + h, x : x + w][inside].mean())
                    box = (x, y, x + w, y + h)
                    found.append(MaskObject(box, pixels, score, area.index, area.label, inside))
        return tuple(sorted(found, key=lambda one: -one.pixels))

    def draw(self, frame: Frame) -> Frame:
        return with_masks(frame, self.mask, self.areas)

    def says(self, label: str) -> bool:
        return label in self

    def files(self) -> dict[str, bytes]:
        """`.mask.png`: the class indices of the pixels in a palette of colours, 255 where there is no class."""
        return {".mask.png": mask_png(self.mask)}

    def to_dict(self) -> dict[str, Any]:
        """`size` as [height, width], and `areas`, the largest first. The pixels themselves are a PNG's (`files`)."""
        return {"size": list(self.mask.shape), "areas": [area.to_dict() for area in self.areas]}

    def to_supervision(self) -> Any:
        """A supervision.Detections with one row a class that is there: its mask, and the box around it."""
        where = [np.nonzero(self.mask == area.index) for area in self.areas]
        boxes = [(xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) for ys, xs in where]
        return supervision_class("Detections")(
            xyxy=np.array(boxes, np.float32).reshape(-1, 4),
            mask=np.array([self.mask == area.index for area in self.areas]).reshape(-1, *self.mask.shape),
            confidence=np.array([area.score for area in self.areas], np.float32),
            class_id=np.array([area.index for area in self.areas], np.int64),
            data={"class_name": np.array([area.label for area in self.areas], dtype=np.str_)},
        )


def masks_of(
    mask: ArrayLike,
    score: ArrayLike,
    place: Geometry,
    frame_shape: tuple[int, ...],
    classes: Sequence[str],
    threshold: float = 0.0,
) -> Masks:
    """One picture's outputs of a segmentation model, at the frame's size.

    A pixel of the frame gets the class of the net's pixel that its centre lies in (nearest neighbour); what a crop cut
    off gets none.

    Args:
        mask: int [H, W], class indices at the net's input size.
        score: float [H, W], of that class.
        place: where the frame lies in the net's input.
        frame_shape: (h, w, ...).
        classes: names.
        threshold: a smaller score is no class.

    Raises:
        InputError: a score that is not finite, or an index that is no class.
    """
    index, scores = np.asarray(mask), np.asarray(score)
    if not np.isfinite(scores).all():
        raise InputError(
            "The net gave scores that are not finite.",
            got=f"NaN or infinity in {int((~np.isfinite(scores)).sum())} of {scores.size} pixels",
            expected="finite numbers",
            fix="verify the model: edgekit verify; a half-precision overflow is the usual cause",
        )
    if index.size and not 0 <= index.min() <= index.max() < len(classes):
        strange = int(index.max()) if index.max() >= len(classes) else int(index.min())
        raise InputError(
            "The net gave a mask with an index that is no class.",
            got=str(strange),
            expected=f"0 to {len(classes) - 1}",
            fix="name as many classes as the net has; a class of void pixels is one of them",
        )
    rows, inside_y = _nearest(frame_shape[0], place.scale_y, place.offset_y, index.shape[0])
    columns, inside_x = _nearest(frame_shape[1], place.scale_x, place.offset_x, index.shape[1])
    seen = inside_y[:, None] & inside_x
    own_score = np.where(seen, scores[rows[:, None], columns], 0).astype(np.float32)
    own = np.where(seen & (own_score >= threshold), index[rows[:, None], columns], NOTHING).astype(np.int16)
    own_score[own == NOTHING] = 0
    return Masks(own, own_score, tuple(classes))


def _nearest(length: int, scale: float, offset: float, limit: int) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Of each of `length` pixels of the frame the net's pixel that its centre lies in, and whether there is one."""
    at = np.floor((np.arange(length) + 0.5) * scale + offset).astype(np.intp)
    return at.clip(0, limit - 1), (at >= 0) & (at < limit)
