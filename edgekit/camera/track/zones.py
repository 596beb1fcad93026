"""Polygons in a frame: where to look, where not, and names for places."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgekit.camera.config import Zone
from edgekit.vision.results import Detections

_MASK = (90, 160)  # rows, columns of the mask for motion


class Zones:
    """The zones of a configuration. A box is where its centre is."""

    def __init__(self, zones: Sequence[Zone]) -> None:
        self._marks = [z for z in zones if z.use == "mark"]
        self._watch = [np.array(z.points) for z in zones if z.use == "watch"]
        self._ignore = [np.array(z.points) for z in zones if z.use == "ignore"]

    def watched(self, points: ArrayLike) -> NDArray[np.bool_]:
        """bool [N] of [N, 2] x y in shares of the frame: inside a watched polygon if there is one, in no ignored."""
        xy = np.asarray(points, np.float64).reshape(-1, 2)
        kept = np.ones(len(xy), np.bool_) if not self._watch else np.zeros(len(xy), np.bool_)
        for polygon in self._watch:
            kept |= inside(xy, polygon)
        for polygon in self._ignore:
            kept &= ~inside(xy, polygon)
        return kept

    def kept(self, found: Detections, shape: tuple[int, ...]) -> Detections:
        """Those of a frame's detections that lie where one looks."""
        if not (self._watch or self._ignore) or not len(found):
            return found
        return found[self.watched(centres(found.boxes) / (shape[1], shape[0]))]

    def names(self, x: float, y: float) -> tuple[str, ...]:
        """The marked zones that hold a point, in shares of the frame."""
        point = np.array([[x, y]])
        return tuple(z.name for z in self._marks if inside(point, np.array(z.points))[0])

    def unwatched(self) -> NDArray[np.bool_] | None:
        """bool [h, w], True where motion does not count, or None where all of it does."""
        if not (self._watch or self._ignore):
            return None
        rows, columns = np.mgrid[: _MASK[0], : _MASK[1]]
        points = np.stack([(columns + 0.5) / _MASK[1], (rows + 0.5) / _MASK[0]], -1)
        return ~self.watched(points).reshape(_MASK)


def centres(boxes: ArrayLike) -> NDArray[np.float64]:
    """float64 [N, 2] of x1 y1 x2 y2 [N, 4]."""
    xyxy = np.asarray(boxes, np.float64).reshape(-1, 4)
    return np.asarray((xyxy[:, :2] + xyxy[:, 2:]) / 2)


def inside(points: NDArray[np.float64], polygon: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether points [N, 2] lie in a polygon [K, 2], by the crossings of a ray (even-odd rule)."""
    x, y = points[:, :1], points[:, 1:]
    x1, y1 = polygon[:, 0], polygon[:, 1]
    x2, y2 = np.roll(x1, -1), np.roll(y1, -1)
    spans = (y1 > y) != (y2 > y)
    with np.errstate(divide="ignore", invalid="ignore"):
        crossed = spans & (x < (x2 - x1) * (y - y1) / (y2 - y1) + x1)
    return np.asarray(crossed.sum(axis=1) % 2 == 1)
