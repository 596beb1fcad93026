"""Insects of other pictures pasted into a scene, so that rare classes are seen more often and before other grounds.

Dwibedi et al. 2017 ("Cut, Paste and Learn", arXiv 1708.01642) paste masks of objects and blend their edges, so that a
detector does not learn the seam; Ghiasi et al. 2021 ("Simple Copy-Paste", arXiv 2012.07177) show that the place may be
random. There are boxes here and no masks: what is pasted is the ellipse inside a box, and it fades out around it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from edgekit.training.augment.scene import Scene

MOST = 3  # objects pasted into one picture
AROUND = 0.15  # of the box's sides, that is cut along on each side for the edge to fade in
SHARP = 24.0  # pixels of the donor, the shorter side of a box worth cutting out
SMALLEST = 8.0  # pixels of the scene, the shorter side of one worth pasting
LARGEST = 0.5  # of the canvas's sides
COVERED = 0.2  # of a smaller box, that two boxes may share
TRIES = 5  # places that are tried for each


@dataclass(frozen=True)
class Cut:
    """An object to be pasted: which box of which training picture."""

    picture: int
    box: int


def cuts_by_class(boxes: Sequence[NDArray[np.float32]], labels: Sequence[NDArray[np.int64]]) -> list[list[Cut]]:
    """What there is to paste, by class; classes without any are left out.

    Args:
        boxes: of each picture, [M, 4] x1 y1 x2 y2 in its pixels.
        labels: of each picture, [M].
    """
    found: dict[int, list[Cut]] = {}
    for i, (some, classes) in enumerate(zip(boxes, labels, strict=True)):
        for j, (box, label) in enumerate(zip(some, classes.tolist(), strict=True)):
            if min(box[2] - box[0], box[3] - box[1]) >= SHARP:
                found.setdefault(label, []).append(Cut(i, j))
    return [found[label] for label in sorted(found)]


def pasted(scene: Scene, donor: Scene, box: int, scale: float) -> Scene:
    """`scene` with one object of `donor` at a place where it covers no other; as it was where no such place is found.

    Draws from torch's generator: the place, and whether the object is mirrored along x and along y.

    Args:
        scene: uint8 [3, H, W]; not changed.
        donor: a whole picture.
        box: which of its boxes.
        scale: pixels of the scene for a pixel of the donor.
    """
    import cv2

    x1, y1, x2, y2 = donor.boxes[box].tolist()
    height, width = (y2 - y1) * scale, (x2 - x1) * scale
    canvas = scene.image.shape[1:]
    if min(height, width) < SMALLEST or height > LARGEST * canvas[0] or width > LARGEST * canvas[1]:
        return scene
    place = _place(scene, height, width)
    if place is None:
        return scene
    top, left = place
    # the patch, with what surrounds the object, in whole pixels of the scene
    low = (math.floor(top - AROUND * height), math.floor(left - AROUND * width))
    sides = (math.ceil(height * (1 + 2 * AROUND)) + 1, math.ceil(width * (1 + 2 * AROUND)) + 1)
    mirrored = (torch.rand(2) < 0.5).tolist()
    # where the patch's pixels lie in the donor; what would lie outside of it repeats its border
    step = [1 / scale, 1 / scale]
    begin = [x1 + (low[1] - left + 0.5) / scale - 0.5, y1 + (low[0] - top + 0.5) / scale - 0.5]
    for axis, (first, last) in enumerate(((x1, x2), (y1, y2))):
        if mirrored[axis]:
            begin[axis], step[axis] = first + last - 1 - begin[axis], -step[axis]
    matrix = np.array([[step[0], 0, begin[0]], [0, step[1], begin[1]]])
    source = np.ascontiguousarray(donor.image.permute(1, 2, 0).numpy())
    if scale < 0.7:  # an affine map samples single pixels: what is shrunk much is shrunk before, by whole areas
        source, matrix = _shrunk(source, matrix, (x1, y1, x2, y2), scale)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    patch = cv2.warpAffine(source, matrix, (sides[1], sides[0]), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return _blended(scene, np.asarray(patch, dtype=np.uint8), low, (top, left, height, width), int(donor.labels[box]))


def _shrunk(
    source: NDArray[np.uint8], matrix: NDArray[np.float64], box: tuple[float, float, float, float], scale: float
) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """The object and what is around it, at the scene's scale; and the affine map into it."""
    import cv2

    x1, y1, x2, y2 = box
    pad_x, pad_y = (x2 - x1) * AROUND * 2 + 2, (y2 - y1) * AROUND * 2 + 2
    left, top = max(0, int(x1 - pad_x)), max(0, int(y1 - pad_y))
    part = source[top : int(y2 + pad_y) + 1, left : int(x2 + pad_x) + 1]
    size = (max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale)))
    small = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    ratio = (size[0] / part.shape[1], size[1] / part.shape[0])
    moved = matrix.copy()
    for axis, (first, r) in enumerate(zip((left, top), ratio, strict=True)):
        moved[axis, 2] = (matrix[axis, 2] + 0.5 - first) * r - 0.5
        moved[axis, axis] = matrix[axis, axis] * r
    return small, moved


def _place(scene: Scene, height: float, width: float) -> tuple[float, float] | None:
    """Upper left corner of a box of that size in the canvas that covers little of what is there."""
    _, h, w = scene.image.shape
    for y, x in torch.rand(TRIES, 2).tolist():
        top, left = y * (h - height), x * (w - width)
        new = torch.tensor([left, top, left + width, top + height])
        shared = torch.minimum(scene.boxes[:, 2:], new[2:]) - torch.maximum(scene.boxes[:, :2], new[:2])
        sides = scene.boxes[:, 2:] - scene.boxes[:, :2]
        smaller = sides.prod(1).clamp(max=height * width)
        if not bool((shared.clamp(min=0).prod(1) > COVERED * smaller).any()):
            return top, left
    return None


def _blended(
    scene: Scene,
    patch: NDArray[np.uint8],
    low: tuple[int, int],
    box: tuple[float, float, float, float],
    label: int,
) -> Scene:
    top, left, height, width = box
    rows, columns = patch.shape[:2]
    # the share of the patch at each of its pixels: 1 in the ellipse inside the box, 0 where the cut ends
    y = (np.arange(rows) + 0.5 + low[0] - top - height / 2) / (height / 2)
    x = (np.arange(columns) + 0.5 + low[1] - left - width / 2) / (width / 2)
    distance = np.sqrt(y[:, None] ** 2 + x[None] ** 2)
    share = np.clip((1 + 2 * AROUND - distance) / (2 * AROUND), 0, 1).astype(np.float32)
    canvas = np.ascontiguousarray(scene.image.permute(1, 2, 0).numpy()).copy()
    h, w = canvas.shape[:2]
    up, to_left = max(0, -low[0]), max(0, -low[1])
    down, right = min(rows, h - low[0]), min(columns, w - low[1])
    part = (slice(low[0] + up, low[0] + down), slice(low[1] + to_left, low[1] + right))
    cut = (slice(up, down), slice(to_left, right))
    alpha = share[cut][..., None]
    canvas[part] = (canvas[part] * (1 - alpha) + patch[cut] * alpha + 0.5).astype(np.uint8)
    boxes = torch.cat((scene.boxes, torch.tensor([[left, top, left + width, top + height]])))
    labels = torch.cat((scene.labels, torch.tensor([label])))
    return Scene(torch.from_numpy(canvas).permute(2, 0, 1), boxes, labels)
