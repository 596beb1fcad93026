"""Arithmetic on boxes, in float64. numpy only.

A box is x1 y1 x2 y2 in continuous pixels: the first pixel of a picture spans 0 to 1, so a picture of w x h pixels
spans 0 0 w h, and a width is x2 - x1 (Pascal VOC's inclusive pixels are converted when they are read).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def area(boxes: ArrayLike) -> Floats:
    """float64 [...] square pixels of [..., 4]; 0 where x2 < x1 or y2 < y1."""
    xyxy = _boxes(boxes)
    return np.asarray(np.clip(xyxy[..., 2:] - xyxy[..., :2], 0, None).prod(axis=-1))


def clip(boxes: ArrayLike, height: float, width: float) -> Floats:
    """float64 [..., 4], cut to a picture of `height` x `width` pixels. A box outside becomes one of no area."""
    return np.asarray(_boxes(boxes).clip(0, np.array([width, height, width, height], dtype=np.float64)))


def cxcywh_from_xyxy(boxes: ArrayLike) -> Floats:
    """float64 [..., 4] centre x, centre y, width, height of x1 y1 x2 y2."""
    xyxy = _boxes(boxes)
    low, high = xyxy[..., :2], xyxy[..., 2:]
    return np.concatenate([(low + high) / 2, high - low], axis=-1)


def iou_matrix(a: ArrayLike, b: ArrayLike, crowd: ArrayLike | None = None) -> Floats:
    """Intersection over union of every box of `a` with every one of `b`: float64 [N, M] in 0..1.

    Args:
        a: [N, 4].
        b: [M, 4].
        crowd: bool [M]. Where true the union is the box of `a` alone, as COCO has it for crowds
            (pycocotools maskApi.c, bbIou): a box inside a crowd overlaps it wholly.

    Two boxes of no area have the IoU 0.
    """
    rows, columns = _boxes(a).reshape(-1, 1, 4), _boxes(b).reshape(1, -1, 4)
    shared = _shared(rows, columns)
    union = area(rows) + area(columns) - shared
    if crowd is not None:
        union = np.where(np.asarray(crowd, dtype=np.bool_), area(rows), union)
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def giou(a: ArrayLike, b: ArrayLike) -> Floats:
    """Generalised IoU of boxes pair by pair: float64 [...] in -1..1 of [..., 4] and [..., 4], broadcast.

    IoU minus the share of the smallest enclosing box that neither covers (Rezatofighi et al. 2019, eq. in alg. 1).
    Where that box has no area both are the same point or on one line; then it is the IoU, 0.
    """
    one, other = np.broadcast_arrays(_boxes(a), _boxes(b))
    shared = _shared(one, other)
    union = area(one) + area(other) - shared
    corners = np.minimum(one[..., :2], other[..., :2]), np.maximum(one[..., 2:], other[..., 2:])
    hull = area(np.concatenate(corners, axis=-1))
    iou = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return np.asarray(iou - np.divide(hull - union, hull, out=np.zeros_like(hull), where=hull > 0))


def _shared(a: Floats, b: Floats) -> Floats:
    low, high = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])
    return np.asarray(np.clip(high - low, 0, None).prod(axis=-1))


def _boxes(boxes: ArrayLike) -> Floats:
    array = np.asarray(boxes, dtype=np.float64)
    if array.size == 0 and array.ndim == 1:
        return array.reshape(0, 4)
    if array.ndim == 0 or array.shape[-1] != 4:
        raise ValueError(f"boxes must be [..., 4], not {list(array.shape)}")
    return array
