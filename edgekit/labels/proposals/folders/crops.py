"""What a candidate looks like, as numbers: its gradients, its colours beside its surroundings', its size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgekit.predictor import Predictor
from edgekit.vision.image import Frame

Describe = Callable[[Frame, NDArray[np.float64]], NDArray[np.float32]]  # a picture and [N, 4] -> [N, D]
_SIDE, _AROUND = 32, 1.25
_BINS = 6
_CELL, _DIRECTIONS = 8, 9


def drawn(frame: Frame, boxes: NDArray[np.float64]) -> NDArray[np.float32]:
    """float32 [N, D] of a picture's candidates, without any network.

    Histograms of gradients on 32 x 32 pixels (N. Dalal and B. Triggs, CVPR 2005), histograms of the three channels of
    Lab inside and around, and the logarithms of size and shape.
    """
    import cv2

    lab: Frame = np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2LAB), np.uint8)
    rows = []
    for box in boxes:
        inside, outside = _colours(crop(lab, box, 1.0)), _colours(crop(lab, box, 1.8))
        width, height = box[2] - box[0], box[3] - box[1]
        rows.append([*inside, *(inside - outside), np.log(width * height) / 4, np.log(width / height)])
    grey = np.array([crop(lab, box, _AROUND)[..., 0] for box in boxes], np.float32).reshape(-1, _SIDE, _SIDE)
    colours = np.array(rows, np.float32).reshape(len(boxes), 6 * _BINS + 2)
    return np.concatenate([_gradients(grey), colours], axis=1)


def by_classifier(predictor: Predictor) -> Describe:
    """The logits of any classifier that edgekit opens, of each candidate with a margin; its classes do not matter."""

    def describe(frame: Frame, boxes: NDArray[np.float64]) -> NDArray[np.float32]:
        return predictor.logits([crop(frame, box, _AROUND, None) for box in boxes])

    return describe


def crop(picture: Frame, box: NDArray[np.float64], factor: float, side: int | None = _SIDE) -> Frame:
    """What is in a box that is `factor` times as large, cut to the picture; resized to a square of `side`."""
    import cv2

    height, width = picture.shape[:2]
    middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * factor
    x1, y1 = np.clip(np.floor(middle - half), 0, (width - 1, height - 1)).astype(int)
    x2, y2 = np.clip(np.ceil(middle + half), (x1 + 1, y1 + 1), (width, height)).astype(int)
    part = np.ascontiguousarray(picture[y1:y2, x1:x2])
    return part if side is None else np.asarray(cv2.resize(part, (side, side), interpolation=cv2.INTER_AREA))


def _gradients(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """[N, 324] of [N, 32, 32]: 9 directions without sign in cells of 8 x 8, in blocks of 2 x 2 cells of length 1."""
    gy, gx = np.gradient(grey, axis=(1, 2))
    strength, angle = np.hypot(gx, gy), np.arctan2(gy, gx) % np.pi
    direction = np.minimum((angle / np.pi * _DIRECTIONS).astype(int), _DIRECTIONS - 1)
    spread = strength[..., None] * (direction[..., None] == np.arange(_DIRECTIONS))
    cells = spread.reshape(len(grey), _SIDE // _CELL, _CELL, _SIDE // _CELL, _CELL, _DIRECTIONS).sum(axis=(2, 4))
    blocks = np.concatenate([cells[:, :-1, :-1], cells[:, :-1, 1:], cells[:, 1:, :-1], cells[:, 1:, 1:]], axis=-1)
    length = np.sqrt(np.square(blocks).sum(axis=-1, keepdims=True)) + 1.0
    return np.asarray(blocks / length, np.float32).reshape(len(grey), 36 * (_SIDE // _CELL - 1) ** 2)


def _colours(patch: Frame) -> NDArray[np.float64]:
    """[3 * _BINS], shares of each channel's levels."""
    binned = np.minimum(patch.reshape(-1, 3).astype(np.int64) * _BINS // 256, _BINS - 1)
    return np.concatenate([np.bincount(channel, minlength=_BINS) for channel in binned.T]) / len(binned)
