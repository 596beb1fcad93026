"""A mask drawn over its picture, with a line for each of the largest classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgekit.vision.draw import ascii_only
from edgekit.vision.image import Frame, check_frame
from edgekit.vision.segmentation.png import colour_of

_COVER = 0.5  # of the picture's own colours, that a mask covers
_LINES = 8  # classes that are named
_AROUND = frozenset({"background", "_background_", "__background__"})  # what is around the things, left as it is
_SMALLEST = (60, 80)  # height, width: below it no name can be read


class Area(Protocol):
    """What is named; `edgekit.vision.segmentation.masks.ClassArea` is one."""

    @property
    def label(self) -> str: ...

    @property
    def index(self) -> int: ...

    @property
    def share(self) -> float: ...


def with_masks(frame: Frame, mask: NDArray[np.int16], areas: Sequence[Area]) -> Frame:
    """A copy of uint8 [h, w, 3] BGR, each class in a colour of its own, and the largest ones named with their share.

    Args:
        mask: int [h, w] of class indices; -1, and a class called background, leave the picture as it is.
        areas: the classes that are there, the largest first.

    Raises:
        PictureError: not such a frame, or of another size than the mask.
    """
    check_frame(frame)
    if frame.shape[:2] != mask.shape:
        from edgekit.errors import PictureError

        raise PictureError(
            "The mask is of another picture.", got=f"a frame {list(frame.shape[:2])}", expected=str(list(mask.shape))
        )
    top = max((area.index for area in areas), default=0)
    colours = np.zeros((top + 2, 3), np.float32)  # the last one is for -1
    covers = np.zeros(top + 2, np.float32)
    things = [area for area in areas if area.label.casefold() not in _AROUND]
    for area in things:
        colours[area.index] = colour_of(area.index)[::-1]
        covers[area.index] = _COVER
    cover = covers[mask][..., None]
    picture: Frame = np.rint(frame * (1 - cover) + colours[mask] * cover).astype(np.uint8)
    if picture.shape[0] >= _SMALLEST[0] and picture.shape[1] >= _SMALLEST[1]:
        _name(picture, things[:_LINES])
    return picture


def _name(picture: Frame, areas: Sequence[Area]) -> None:
    """Draws one line a class into the upper left corner of `picture`, in place."""
    import cv2

    height, width = picture.shape[:2]
    face = cv2.FONT_HERSHEY_SIMPLEX
    capital = max(8.0, min(height / 45, width / 45))
    scale = capital / cv2.getTextSize("H", face, 1.0, 1)[0][1]
    pad = max(2, round(capital * 0.4))
    high = round(capital) + 2 * pad
    for line, area in enumerate(areas):
        top = line * high
        if top + high > height:
            return
        text = f"{ascii_only(area.label)} {area.share:.{int(area.share < 0.095)}%}"
        (w, _), _ = cv2.getTextSize(text, face, scale, 1)
        colour = colour_of(area.index)[::-1]
        cv2.rectangle(picture, (0, top), (min(width, w + high + 2 * pad), top + high), (24, 20, 18), cv2.FILLED)
        cv2.rectangle(picture, (0, top), (high, top + high), colour, cv2.FILLED)
        cv2.putText(picture, text, (high + pad, top + high - pad), face, scale, (255, 255, 255), 1, cv2.LINE_AA)
