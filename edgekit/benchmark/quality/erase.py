"""Objects taken out of a picture, or left alone in it, to ask a model what it goes by."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgekit.vision.image import Frame, check_frame

GROWN = 0.1  # of a box's sides, by which it is taken larger on each: its shadow, legs, a box that is too tight
_WORK = 256  # pixels, the longer side at which the filling is computed
_RADIUS = 5.0  # pixels of that, around each that is filled
_TRIES = 60


def erased(frame: Frame, boxes: ArrayLike) -> Frame:
    """A copy of uint8 [h, w, 3] BGR with its boxes filled from around them, everything else as it was.

    The filling is Telea's (2004, "An image inpainting technique based on the fast marching method"), at no more than
    256 pixels: a smooth ground without an object on it.

    Args:
        boxes: [M, 4] x1 y1 x2 y2 in pixels of the frame; each is taken a tenth larger on each side.

    Raises:
        PictureError: not such a frame.
    """
    check_frame(frame)
    import cv2

    inside = within(frame.shape, boxes)
    if not inside.any():
        return frame.copy()
    height, width = inside.shape
    scale = min(1.0, _WORK / max(height, width))
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    # a pixel of the small picture that has any of a box in it is filled: none of the object may bleed out of it
    hole = cv2.resize(inside.astype(np.float32), small, interpolation=cv2.INTER_AREA) > 0
    ground = cv2.resize(frame, small, interpolation=cv2.INTER_AREA)
    filled = cv2.inpaint(ground, hole.astype(np.uint8), _RADIUS, cv2.INPAINT_TELEA)
    large = cv2.resize(filled, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.where(inside[..., None], large, frame)


def alone(frame: Frame, boxes: ArrayLike) -> Frame:
    """A copy of uint8 [h, w, 3] BGR with its boxes as they were, a tenth larger, and its mean colour everywhere else.

    Raises:
        PictureError: not such a frame.
    """
    check_frame(frame)
    mean = np.rint(frame.reshape(-1, 3).mean(axis=0)).astype(np.uint8)
    return np.where(within(frame.shape, boxes)[..., None], frame, mean)


def within(shape: tuple[int, ...], boxes: ArrayLike) -> NDArray[np.bool_]:
    """bool [h, w]: which pixels lie in a box, taken a tenth larger on each side."""
    height, width = shape[:2]
    inside = np.zeros((height, width), dtype=bool)
    for x1, y1, x2, y2 in np.reshape(np.asarray(boxes, dtype=np.float64), (-1, 4)).tolist():
        grow = GROWN * (x2 - x1), GROWN * (y2 - y1)
        left, top = max(0, int(np.floor(x1 - grow[0]))), max(0, int(np.floor(y1 - grow[1])))
        right, bottom = int(np.ceil(x2 + grow[0])), int(np.ceil(y2 + grow[1]))
        inside[top : max(top, bottom), left : max(left, right)] = True
    return inside


def elsewhere(
    shape: tuple[int, ...], boxes: ArrayLike, objects: ArrayLike, random: np.random.Generator
) -> NDArray[np.float64] | None:
    """As many boxes of the same sizes where no object is, at random places; None where there is no room.

    What a picture loses by the filling itself is seen with these.

    Args:
        shape: of the frame.
        boxes: [M, 4] x1 y1 x2 y2, to be had again elsewhere.
        objects: [K, 4], that must not be touched, `boxes` among them.
    """
    height, width = shape[:2]
    taken = within(shape, objects)
    places = []
    for x1, y1, x2, y2 in np.reshape(np.asarray(boxes, dtype=np.float64), (-1, 4)).tolist():
        wide, high = min(x2 - x1, width), min(y2 - y1, height)
        for _ in range(_TRIES):
            left, top = random.uniform(0, width - wide), random.uniform(0, height - high)
            place = (left, top, left + wide, top + high)
            if not (within(shape, place) & taken).any():
                places.append(place)
                break
        else:
            return None
    return np.array(places, dtype=np.float64).reshape(-1, 4)
