"""Boxes around whatever stands out: from its surroundings, from a still background, or under a grid of clicks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.labels.proposals.base import Prompt, Segmenter
from edgekit.vision.boxes import area, iou_matrix
from edgekit.vision.image import Frame

Boxes = NDArray[np.float64]  # [N, 4] x1 y1 x2 y2, continuous pixels of the picture
_SIDE = 320  # pixels: of the longer side that pictures are looked at with
_BLOCKS = (0.12, 0.25, 0.5, 1.0)  # of that side: the surroundings that something stands out from
_LIMITS = (0.6, 1.2)  # standard deviations of the surroundings
_CLOSE = (0.0, 0.06, 0.12)  # of a block: gaps between parts of one thing that are closed
_SMALLEST, _LARGEST = 5, 0.9  # pixels at that size, and share of a side
_A_MASK = 10  # largest components of each binary picture
_SAME = 0.75  # IoU above which two candidates are one
_DIFFERENT = 18.0  # of 255 in any channel, from which on a pixel has moved


def salient(frame: Frame, most: int = 200) -> Boxes:
    """Boxes around connected places that are lighter, darker, or more or less coloured than their surroundings.

    Local means and deviations over four block sizes (J. Sauvola and M. Pietikainen, "Adaptive document image
    binarization", 2000, carried over to six channels), gaps closed by three amounts.

    Returns:
        At most `most`, those that most binary pictures agree on first; [0, 4] for a picture of one colour.
    """
    import cv2

    small, scale = _reduced(frame)
    lab = cv2.cvtColor(small, cv2.COLOR_BGR2LAB).astype(np.float32)
    saturation = cv2.cvtColor(small, cv2.COLOR_BGR2HSV)[..., 1].astype(np.float32)
    channels = (lab[..., 0], -lab[..., 0], lab[..., 2], -lab[..., 2], lab[..., 1], saturation)
    found = []
    for channel in (cv2.GaussianBlur(np.ascontiguousarray(c), (0, 0), 1.0) for c in channels):
        for block in (round(share * _SIDE) for share in _BLOCKS):
            mean = cv2.blur(channel, (block, block))
            variance = cv2.blur(channel * channel, (block, block)) - mean * mean
            apart = (channel - mean) / np.sqrt(np.maximum(variance, 1))
            for limit in _LIMITS:
                for close in (round(share * block) for share in _CLOSE):
                    found.append(_components((apart > limit).astype(np.uint8), close))
    return _agreed(np.concatenate(found), most) / scale


def moving(frame: Frame, background: Frame) -> Boxes:
    """Boxes around what differs from a still camera's background, uint8 [h, w, 3] of the same size."""
    import cv2

    small, scale = _reduced(frame)
    still = cv2.resize(background, small.shape[1::-1], interpolation=cv2.INTER_AREA)
    gap = cv2.GaussianBlur(cv2.absdiff(small, still), (0, 0), 1.0).max(axis=2)
    moved = (gap > _DIFFERENT).astype(np.uint8)
    found = [_components(moved, close) for close in (0, 2, 5)]
    return _agreed(np.concatenate(found), 200) / scale


def background_of(frames: Sequence[Frame]) -> Frame:
    """The median of frames of one still camera, all of one size, five or more: uint8 [h, w, 3]."""
    return np.asarray(np.median(np.stack(frames), axis=0).astype(np.uint8))


def clicked(segmenter: Segmenter, key: str, read: Callable[[], Frame], steps: int = 12) -> Boxes:
    """Boxes around the masks under a grid of `steps` x `steps` clicks, the best-scored first, each thing once."""
    height, width = read().shape[:2]
    found: list[tuple[float, Any]] = []
    for y in (np.arange(steps) + 0.5) / steps * height:
        for x in (np.arange(steps) + 0.5) / steps * width:
            segment = segmenter.segment(key, read, Prompt(((float(x), float(y)),), (True,)))
            if segment.box is not None and area(segment.box) < _LARGEST * height * width:
                found.append((segment.score, segment.box))
    found.sort(key=lambda one: -one[0])
    boxes = np.array([box for _, box in found], np.float64).reshape(-1, 4)
    return boxes[apart(boxes, _SAME)]


def apart(ranked: Boxes, iou: float, most: int | None = None) -> list[int]:
    """The indices of boxes, best first, that overlap no better one by `iou` or more."""
    return _first(iou_matrix(ranked, ranked), iou, most)


def outermost(ranked: Boxes, share: float, most: int) -> list[int]:
    """As `apart`, where two boxes are one thing if they share that much of the smaller one's area."""
    low = np.maximum(ranked[:, None, :2], ranked[None, :, :2])
    high = np.minimum(ranked[:, None, 2:], ranked[None, :, 2:])
    sizes = area(ranked)
    shared = np.clip(high - low, 0, None).prod(axis=-1) / np.maximum(np.minimum(sizes[:, None], sizes), 1e-9)
    return _first(shared, share, most)


def _first(overlap: NDArray[np.float64], limit: float, most: int | None) -> list[int]:
    left, kept = np.ones(len(overlap), np.bool_), []
    for i in range(len(overlap)):
        if left[i]:
            kept.append(i)
            left &= overlap[i] < limit
            if len(kept) == most:
                break
    return kept


def _reduced(frame: Frame) -> tuple[Frame, float]:
    import cv2

    scale = _SIDE / max(frame.shape[:2])
    size = [max(1, round(side * scale)) for side in frame.shape[1::-1]]
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(frame, size, interpolation=way)), scale


def _components(binary: NDArray[np.uint8], close: int) -> NDArray[np.float64]:
    """[N, 4] of connected parts, the largest ones, in the reduced picture's pixels."""
    import cv2

    height, width = binary.shape
    parts = cv2.morphologyEx(binary, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    if close:
        parts = cv2.morphologyEx(
            parts, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * close + 1,) * 2)
        )
    _, _, stats, _ = cv2.connectedComponentsWithStats(parts, connectivity=4)
    stats = stats[1:]
    sides = stats[:, 2:4]
    sound = (sides >= _SMALLEST).all(axis=1) & (sides <= (_LARGEST * width, _LARGEST * height)).all(axis=1)
    stats = stats[sound]
    stats = stats[np.argsort(-stats[:, 4], kind="stable")[:_A_MASK]]
    return np.concatenate([stats[:, :2], stats[:, :2] + stats[:, 2:4]], axis=1).astype(np.float64)


def _agreed(boxes: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    """Each box once, those with the most like it first."""
    boxes, times = np.unique(boxes, axis=0, return_counts=True)
    overlap = iou_matrix(boxes, boxes) >= _SAME
    order = np.argsort(-(overlap @ times), kind="stable")
    boxes = boxes[order]
    return np.asarray(boxes[apart(boxes, _SAME, most)])
