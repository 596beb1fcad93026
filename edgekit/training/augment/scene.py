"""Detection's geometry: a picture, or four of them, placed on a canvas of the net's size, boxes along with pixels.

One cut, one resize and one paste a picture, on bytes; what a general affine map would do in float32 takes ten times as
long. The steps that keep a picture's size (`edgekit.training.augment.variations.variations`) follow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2 import functional

GREY = 114
SEEN = 0.3  # an object of which less than this share is left in the picture is not learnt
SMALLEST = 2.0  # pixels of the canvas, the shorter side of a box worth learning


@dataclass(frozen=True)
class Scene:
    """A picture with its objects: uint8 [3, h, w] RGB, boxes float32 [M, 4] x1 y1 x2 y2 in its pixels, labels [M].

    A label below 0 is a box that is set aside: `set_aside(label)` says of which class.
    """

    image: Tensor
    boxes: Tensor
    labels: Tensor


def set_aside(labels: Tensor) -> Tensor:
    """The labels of boxes that are set aside, of those of their classes; and back."""
    return -1 - labels


def placed(scene: Scene, size: tuple[int, int], zoom: float, place: tuple[float, float], resize: str) -> Scene:
    """`scene` on a grey canvas, `zoom` times as large as evaluation shows it.

    Args:
        size: height and width of the canvas.
        zoom: 1 is the size that `resize` gives; larger cuts, smaller leaves a border.
        place: where the picture lies along y and x where it is smaller than the canvas, or what of it is cut where it
            is larger: 0..1 each, 0.5 is the middle.
        resize: `letterbox` keeps the ratio, `stretch` does not.
    """
    h, w = scene.image.shape[1:]
    ratio = (size[0] / h, size[1] / w)
    if resize == "letterbox":
        ratio = (min(ratio), min(ratio))
    full = tuple(max(1, round(n * r * zoom)) for n, r in zip((h, w), ratio, strict=True))
    # along each axis: where the picture begins on the canvas (negative: what is cut)
    corner = tuple(round((n - f) * p) for n, f, p in zip(size, full, place, strict=True))
    cut, at = [], []
    for n, f, c, limit in zip((h, w), full, corner, size, strict=True):
        first, last = max(0, -c), min(f, limit - c)  # of the enlarged picture, in its pixels
        low, high = int(first * n / f), max(int(first * n / f) + 1, min(n, round(last * n / f)))
        cut.append((low, high))
        at.append((max(0, c), max(1, last - first)))
    (top, bottom), (left, right) = cut
    (y, height), (x, width) = at
    part = scene.image[:, top:bottom, left:right]
    if part.shape[1:] != (height, width):
        # whole and channels last in memory: else what comes out is not, and costs as much again to be put in order
        part = _picture(np.ascontiguousarray(part.permute(1, 2, 0).numpy()))
        part = functional.resize_image(part, [height, width], antialias=True)
    canvas = np.full((*size, 3), GREY, dtype=np.uint8)  # bytes are moved by numpy: torch takes a millisecond for it
    canvas[y : y + height, x : x + width] = part.permute(1, 2, 0).numpy()
    # the map of the pixels that were drawn, to the fraction: the cut was rounded to whole pixels
    scale = torch.tensor([width / (right - left), height / (bottom - top)]).repeat(2)
    offset = torch.tensor([x - left * float(scale[0]), y - top * float(scale[1])]).repeat(2)
    moved = scene.boxes * scale + offset
    begin = torch.tensor([x, y], dtype=torch.float32)
    return clipped(Scene(_picture(canvas), moved, scene.labels), begin, begin + torch.tensor([width, height]))


def mosaic(pick: Callable[[int], Scene], size: tuple[int, int], zooms: list[float], resize: str) -> Scene:
    """Four pictures that meet in a point of the canvas (Bochkovskiy et al. 2020, "YOLOv4", sec. 3.3).

    Args:
        pick: gives picture 0, 1, 2 or 3.
        zooms: of each, in relation to the whole canvas, as in `placed`.
    """
    cy, cx = (int(n * (0.3 + 0.4 * float(torch.rand(())))) for n in size)
    canvas = np.empty((*size, 3), dtype=np.uint8)
    boxes, labels = [], []
    for i, (y1, y2, x1, x2) in enumerate(
        ((0, cy, 0, cx), (0, cy, cx, size[1]), (cy, size[0], 0, cx), (cy, size[0], cx, size[1]))
    ):
        quarter = (y2 - y1, x2 - x1)
        scene = pick(i)
        # `placed` measures the zoom by the canvas it gets, which is only a part here
        h, w = scene.image.shape[1:]
        grow = min(size[0] / h, size[1] / w) / min(quarter[0] / h, quarter[1] / w) if resize == "letterbox" else 2.0
        place = (float(torch.rand(())), float(torch.rand(())))
        part = placed(scene, quarter, zooms[i] * grow, place, resize)
        canvas[y1:y2, x1:x2] = part.image.permute(1, 2, 0).numpy()
        boxes.append(part.boxes + torch.tensor([x1, y1, x1, y1]))
        labels.append(part.labels)
    return Scene(_picture(canvas), torch.cat(boxes), torch.cat(labels))


def _picture(frame: NDArray[np.uint8]) -> Tensor:
    """uint8 [h, w, 3] -> uint8 [3, h, w], channels last in memory."""
    return torch.from_numpy(frame).permute(2, 0, 1)


def clipped(scene: Scene, low: Tensor, high: Tensor) -> Scene:
    """`scene` with its boxes cut to low..high (x, y); those of which too little is left are taken out.

    Of a box that is set aside any rest stays: what is left of a crowd is a crowd.
    """
    before = _area(scene.boxes)
    boxes = torch.cat((scene.boxes[:, :2].maximum(low), scene.boxes[:, 2:].minimum(high)), 1)
    sides = boxes[:, 2:] - boxes[:, :2]
    enough = (sides >= SMALLEST).all(1) & (_area(boxes) >= SEEN * before)
    good = torch.where(scene.labels < 0, (sides > 0).all(1), enough)
    return Scene(scene.image, boxes[good], scene.labels[good])


def _area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1)
