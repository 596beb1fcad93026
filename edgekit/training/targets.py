"""What a CenterNet should answer for one picture, from its boxes: the inverse of `edgekit.nets.decoding.decode`.

h = height / 4 and w = width / 4 are the heatmap's; feature pixels are 4 input pixels wide. Targets of several pictures
stack with torch's `default_collate`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgekit.errors import DataError
from edgekit.nets.centernet import STRIDE

Radius = Literal["fixed", "official"]
UNLEARNT = -1.0  # of a heatmap, at places where nothing is learnt
OVERLAP: dict[str, float] = {"fixed": 0.3, "official": 0.7}  # smallest IoU that a corner off by the radius may give


class OffsetSizeTargets(NamedTuple):
    """Of one picture; a batch has N in front.

    Attributes:
        heatmap: float32 [C, h, w], 0 to 1, exactly 1 at the centres; `UNLEARNT` where nothing is learnt.
        offset: float32 [2, h, w], as `OffsetSizeMaps` has it; 0 where there is no centre.
        size: float32 [2, h, w], likewise.
        mask: bool [h, w], true where offset and size are known: at the centres.
    """

    heatmap: Tensor
    offset: Tensor
    size: Tensor
    mask: Tensor


class LtrbTargets(NamedTuple):
    """Of one picture; a batch has N in front.

    Attributes:
        heatmap: float32 [C, h, w], 0 to 1, exactly 1 at the centres; `UNLEARNT` where nothing is learnt.
        distances: float32 [4, h, w], as `LtrbMaps` has it; 0 where no box is to be predicted.
        mask: bool [h, w], true where one is: at the centres and those of their 8 neighbours that lie in the box.
    """

    heatmap: Tensor
    distances: Tensor
    mask: Tensor


Targets = OffsetSizeTargets | LtrbTargets


def encode_offset_size(
    boxes: Tensor, labels: Tensor, *, classes: int, height: int, width: int, radius: Radius = "fixed"
) -> OffsetSizeTargets:
    """Targets for the `offset_size` head (Zhou et al. 2019, sec. 3 and 4).

    Where two centres share a feature pixel, the smaller box stands there.

    Args:
        boxes: [M, 4], x1 y1 x2 y2 in input pixels, inside the input.
        labels: integers [M], 0 to C - 1.
        classes: C.
        height, width: of the input in pixels, multiples of 4.
        radius: `gaussian_radius`'s formula, at its overlap in `OVERLAP`.

    Raises:
        DataError: wrong shapes, a box that is outside, empty or not finite, or a label that is not a class.
    """
    boxes, labels = _checked(boxes, labels, classes, height, width)
    x1y1, x2y2 = boxes.chunk(2, 1)
    centre, size = (x1y1 + x2y2) / 2, x2y2 - x1y1  # [M, 2] each, feature pixels
    h, w = height // STRIDE, width // STRIDE
    cell = _cell(centre, h, w)
    winner, mask = _winners(cell[:, 1] * w + cell[:, 0], size.prod(1), h, w)
    values = torch.cat((centre - cell, size), 1)[winner]  # [known places, 4]
    offset, side = _scatter(values, mask).chunk(2)
    return OffsetSizeTargets(_heatmap(cell, size, labels, classes, h, w, radius), offset, side, mask)


def encode_ltrb(
    boxes: Tensor, labels: Tensor, *, classes: int, height: int, width: int, radius: Radius = "fixed"
) -> LtrbTargets:
    """Targets for the `ltrb` head: 3x3 centre sampling, as FCOS got it later (Tian et al. 2020, arXiv 2006.09214).

    Each box is answered for by the feature pixel of its centre and by those of the 8 around it whose middle lies
    inside the box. A place that two boxes claim goes to the one whose centre it is, then to the smaller one. A box
    under 4 pixels may miss the middle of its centre's feature pixel: it counts as reaching that far.

    Args and raises as `encode_offset_size`.
    """
    boxes, labels = _checked(boxes, labels, classes, height, width)
    x1y1, x2y2 = boxes.chunk(2, 1)
    size = x2y2 - x1y1
    h, w = height // STRIDE, width // STRIDE
    centre = _cell((x1y1 + x2y2) / 2, h, w)
    steps = torch.tensor([-1, 0, 1], device=boxes.device)
    around = torch.cartesian_prod(steps, steps)  # [9, 2]
    cell = centre[:, None] + around  # [M, 9, 2]
    middle = cell.to(boxes.dtype) + 0.5
    distances = torch.cat((middle - x1y1[:, None], x2y2[:, None] - middle), 2)  # [M, 9, 4]
    own = (around == 0).all(1).expand(len(boxes), 9)
    on_map = ((cell >= 0) & (cell < torch.tensor([w, h], device=boxes.device))).all(2)
    use = own | (on_map & (distances > 0).all(2))
    cell, distances, own = cell[use], distances[use].clamp(min=0), own[use]  # [P, ...], P the places in use
    area = size.prod(1)[:, None].expand(-1, 9)[use]
    order = torch.where(own, area, area + 2.0 * h * w)  # no area is larger than h w
    winner, mask = _winners(cell[:, 1] * w + cell[:, 0], order, h, w)
    heatmap = _heatmap(centre, size, labels, classes, h, w, radius)
    return LtrbTargets(heatmap, _scatter(distances[winner], mask), mask)


ENCODERS: dict[str, Callable[..., Targets]] = {"offset_size": encode_offset_size, "ltrb": encode_ltrb}


def unlearnt(heatmap: Tensor, boxes: Tensor, labels: Tensor) -> None:
    """Marks in a heatmap's targets [C, h, w] where a class is not learnt: in boxes that are set aside, but for bells.

    A crowd, or an object too difficult to be asked for, is not what is to be found and not background either.

    Args:
        boxes: [M, 4], x1 y1 x2 y2 in input pixels.
        labels: integers [M], 0 to C - 1.
    """
    for (x1, y1, x2, y2), label in zip((boxes / STRIDE).tolist(), labels.tolist(), strict=True):
        # every feature pixel that it touches
        left, top, right, bottom = math.floor(x1), math.floor(y1), math.ceil(x2), math.ceil(y2)
        place = heatmap[label, max(top, 0) : bottom, max(left, 0) : right]
        place[place == 0] = UNLEARNT


def gaussian_radius(size: Tensor, radius: Radius = "fixed", overlap: float | None = None) -> Tensor:
    """How far both corners of a box may move, in whole feature pixels, so that its IoU with the true one stays high.

    Law & Deng 2018 ("CornerNet", sec. 3.2): the smallest of three cases (one corner in and one out, both in, both
    out), each the root of a quadratic. `official` is what CornerNet's and CenterNet's published code computed:
    sizes rounded up, and roots divided by 2 instead of 2a (and the larger instead of the smaller ones), which gives
    0.27 of a square's side at 0.7. `fixed` solves the equations; at 0.3 it gives 0.23, at 0.7 only 0.08.

    Args:
        size: [M, 2], width and height in feature pixels, > 0.
        radius: the formula.
        overlap: the IoU; None takes `OVERLAP`'s.

    Returns:
        float64 [M], whole numbers >= 0.
    """
    t = OVERLAP[radius] if overlap is None else overlap
    size = size.double()
    if radius == "official":
        size = size.ceil()
    total, area = size.sum(1), size.prod(1)

    def root(a: float, b: Tensor, c: Tensor) -> Tensor:
        return (b * b - 4 * a * c).clamp(min=0).sqrt()

    mixed = root(1, total, area * (1 - t) / (1 + t))  # r^2 - (w + h) r + w h (1 - t) / (1 + t) = 0
    inside = root(4, 2 * total, (1 - t) * area)  # 4 r^2 - 2 (w + h) r + (1 - t) w h = 0
    outside = root(4 * t, 2 * t * total, (t - 1) * area)  # 4 t r^2 + 2 t (w + h) r - (1 - t) w h = 0
    if radius == "official":
        roots = ((total + mixed) / 2, (2 * total + inside) / 2, (outside - 2 * t * total) / 2)
    else:
        roots = ((total - mixed) / 2, (2 * total - inside) / 8, (outside - 2 * t * total) / (8 * t))
    return torch.stack(roots).amin(0).clamp(min=0).floor()


def _heatmap(cell: Tensor, size: Tensor, labels: Tensor, classes: int, h: int, w: int, radius: Radius) -> Tensor:
    """exp(-d^2 / 2 sigma^2) around each centre, the larger of two where they meet (sec. 3); float32 [C, h, w].

    sigma = (2 r + 1) / 6, and 0 beyond r in x or y, as in the official code.
    """
    r = gaussian_radius(size, radius).tolist()
    heatmap = np.zeros((classes, h, w), dtype=np.float32)
    for (x, y), label, reach in zip(cell.tolist(), labels.tolist(), map(int, r), strict=True):
        bell = _bell(reach)
        left, right, up, down = min(x, reach), min(w - x, reach + 1), min(y, reach), min(h - y, reach + 1)
        place = heatmap[label, y - up : y + down, x - left : x + right]
        np.maximum(place, bell[reach - up : reach + down, reach - left : reach + right], out=place)
    return torch.from_numpy(heatmap).to(cell.device)


@lru_cache(maxsize=512)
def _bell(reach: int) -> NDArray[np.float32]:
    """float32 [2 r + 1, 2 r + 1]: what a centre draws around itself."""
    d = np.arange(-reach, reach + 1, dtype=np.float64)
    along = np.exp(-(d * d) / (2 * ((2 * reach + 1) / 6) ** 2)).astype(np.float32)
    return along[:, None] * along[None]


def _cell(centre: Tensor, h: int, w: int) -> Tensor:
    """int64 [M, 2], x and y of the feature pixel that [M, 2] lies in."""
    return torch.minimum(centre.floor().long(), torch.tensor([w - 1, h - 1], device=centre.device))


def _winners(place: Tensor, order: Tensor, h: int, w: int) -> tuple[Tensor, Tensor]:
    """Who stands where: of those [P] that claim a place y w + x the first by `order`.

    Returns:
        indices of the winners, by place, and the bool [h, w] mask of places that have one.
    """
    ranked = order.argsort(stable=True)
    nobody = len(ranked)
    first = torch.full((h * w,), nobody, device=place.device)
    first = first.scatter_reduce(0, place[ranked], torch.arange(nobody, device=place.device), "amin")
    mask = first < nobody
    return ranked[first[mask]], mask.reshape(h, w)


def _scatter(values: Tensor, mask: Tensor) -> Tensor:
    """[places, c] -> float32 [c, h, w], 0 where the mask is false."""
    out = torch.zeros(*mask.shape, values.shape[1], device=values.device)
    out[mask] = values.float()
    return out.permute(2, 0, 1).contiguous()


def _checked(boxes: Tensor, labels: Tensor, classes: int, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Boxes as float64 [M, 4] in feature pixels, and labels as int64 [M]; or DataError."""
    if boxes.ndim != 2 or boxes.shape[1] != 4 or labels.shape != boxes.shape[:1] or labels.is_floating_point():
        raise DataError(
            "Boxes and labels do not belong together.",
            got=f"boxes {list(boxes.shape)}, labels {list(labels.shape)} {labels.dtype}",
            expected="boxes [M, 4] and M whole numbers",
        )
    exact = boxes.double()
    low, high = exact.chunk(2, 1)
    limit = exact.new_tensor([width, height])
    good = ((low >= 0) & (high <= limit) & (low < high)).all(1)  # a NaN is not good either
    if not good.all():
        i = int(good.logical_not().nonzero()[0])
        raise DataError(
            f"Box {i} cannot be learnt from.",
            got="x1 y1 x2 y2 = " + " ".join(f"{v:g}" for v in boxes[i].tolist()),
            expected=f"0 <= x1 < x2 <= {width} and 0 <= y1 < y2 <= {height}",
            fix="clip boxes to the picture after augmentation and leave out what is empty",
        )
    known = (labels >= 0) & (labels < classes)
    if not known.all():
        i = int(known.logical_not().nonzero()[0])
        raise DataError(
            f"Box {i} has a label that is not a class.", got=str(int(labels[i])), expected=f"0 to {classes - 1}"
        )
    return exact / STRIDE, labels.long()
