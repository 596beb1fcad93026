"""Losses of a CenterNet and of a U-Net, all in float32 and from logits, so that they are finite wherever the net's maps
are.

A CenterNet's each sum over places and divide by a count > 0 (objects, or places that have a box). The loss objects take
the counts of their batch, or the given ones: with B processes or accumulated batches, the sum of all their `counts`, at
least 1, divided by B makes the averaged gradient that of the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from edgekit.nets.centernet import LtrbMaps, OffsetSizeMaps
from edgekit.training.targets import LtrbTargets, OffsetSizeTargets


def focal_loss(logits: Tensor, target: Tensor, objects: Tensor, alpha: float = 2.0, beta: float = 4.0) -> Tensor:
    """The penalty-reduced focal loss (Zhou et al. 2019, eq. 1; CornerNet, eq. 1).

    With p = sigmoid(logits) and Y the target: -(1 - p)^alpha log p where Y = 1, else
    -(1 - Y)^beta p^alpha log(1 - p); 0 where Y < 0.

    Args:
        logits: [N, C, h, w].
        target: [N, C, h, w], 0 to 1, exactly 1 at the centres; below 0 where nothing is learnt.
        objects: what the sum is divided by.
    """
    x, y = logits.float(), target.float()
    at_centre = functional.logsigmoid(x) * torch.sigmoid(-x) ** alpha
    elsewhere = functional.logsigmoid(-x) * torch.sigmoid(x) ** alpha * (1 - y) ** beta
    return -torch.where(y == 1, at_centre, torch.where(y >= 0, elsewhere, 0)).sum() / objects


def logistic_loss(logits: Tensor, target: Tensor, objects: Tensor) -> Tensor:
    """The lecture's pixelwise logistic regression: -Y log p - (1 - Y) log(1 - p) at every place and class.

    Args as `focal_loss`; divided by the objects too, so that the two can stand in for each other.
    """
    x, y = logits.float(), target.float()
    entropy = functional.binary_cross_entropy_with_logits(x, y.clamp(min=0), reduction="none")
    return torch.where(y >= 0, entropy, 0).sum() / objects


def l1_loss(prediction: Tensor, target: Tensor, mask: Tensor, places: Tensor) -> Tensor:
    """|prediction - target| at the places of `mask`, mean over the c channels (the official code's; eq. 2 and 3).

    Args:
        prediction, target: [N, c, h, w].
        mask: bool [N, h, w].
        places: what the sum over places is divided by.
    """
    error = (prediction.float() - target.float()).abs().mean(1)  # [N, h, w]
    # not error[mask]: how many there are a GPU would have to tell the host, which would wait for it
    return torch.where(mask, error, 0).sum() / places


def giou(a: Tensor, b: Tensor) -> Tensor:
    """Generalized IoU (Rezatofighi et al. 2019, algorithm 1) of pairs of boxes: [M, 4], [M, 4] -> [M], -1 to 1.

    Boxes are x1 y1 x2 y2 with x1 <= x2 and y1 <= y2. Two empty ones at the same point give 0.
    """
    (a1, a2), (b1, b2) = a.float().chunk(2, 1), b.float().chunk(2, 1)
    tiny = torch.finfo(torch.float32).tiny
    overlap = (torch.minimum(a2, b2) - torch.maximum(a1, b1)).clamp(min=0).prod(1)
    union = (a2 - a1).prod(1) + (b2 - b1).prod(1) - overlap
    hull = (torch.maximum(a2, b2) - torch.minimum(a1, b1)).prod(1)
    return overlap / union.clamp(min=tiny) - (hull - union) / hull.clamp(min=tiny)


def giou_loss(prediction: Tensor, target: Tensor, mask: Tensor, places: Tensor) -> Tensor:
    """1 - GIoU of distances [N, 4, h, w] to left, top, right, bottom, over the places of `mask` [N, h, w]."""
    # the place itself is the origin of both boxes; elsewhere both are the same box, so loss and gradient are 0 there
    there = mask.unsqueeze(1)
    ours, theirs = (_around_origin(torch.where(there, d.float(), 1)) for d in (prediction, target))
    return (1 - giou(ours, theirs)).sum() / places


def _around_origin(distances: Tensor) -> Tensor:
    """[N, 4, h, w] to left, top, right, bottom -> boxes [N h w, 4]."""
    left_top, right_bottom = distances.chunk(2, 1)
    return torch.cat((-left_top, right_bottom), 1).movedim(1, -1).flatten(0, 2)


def pixel_entropy(logits: Tensor, target: Tensor, weights: Tensor, pixels: Tensor) -> Tensor:
    """Cross-entropy of the pixels that have a class, each times its class's weight; the sum, divided by `pixels`.

    Args:
        logits: [N, C, H, W].
        target: int64 [N, H, W], class indices, -1 for void.
        weights: [C].
        pixels: how many have a class, > 0.
    """
    entropy = functional.cross_entropy(logits.float(), target, weights, ignore_index=-1, reduction="sum")
    return entropy / pixels


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """1 - dice with probabilities instead of pixels (Milletari et al. 2016, "V-Net", eq. 3, without the squares), of
    each picture the mean over the classes that it shows, and the mean over pictures.

    Void pixels are in no sum. A picture that is all void counts as 0.

    Args:
        logits: [N, C, H, W].
        target: int64 [N, H, W], class indices, -1 for void.
    """
    known = (target >= 0).unsqueeze(1)
    share = logits.float().softmax(1) * known
    there = functional.one_hot(target.clamp(min=0), logits.shape[1]).movedim(-1, 1) * known  # [N, C, H, W]
    pixels = there.sum((2, 3))  # [N, C]
    dice = 2 * (share * there).sum((2, 3)) / (share.sum((2, 3)) + pixels).clamp(min=1e-6)
    shown = pixels > 0
    return (torch.where(shown, 1 - dice, 0).sum(1) / shown.sum(1).clamp(min=1)).mean()


Heatmap = Literal["focal", "logistic"]
HEATMAP_LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "focal": focal_loss,
    "logistic": logistic_loss,
}


@dataclass(frozen=True)
class LossValue:
    """A loss and what it is the weighted sum of, scalars; `parts` are unweighted and without gradient."""

    total: Tensor
    parts: dict[str, Tensor]


def counts(targets: OffsetSizeTargets | LtrbTargets) -> Tensor:
    """float32 [2]: objects (centres) and places that have a box, in a batch of targets."""
    return torch.stack(((targets.heatmap == 1).sum(), targets.mask.sum())).float()


@dataclass(frozen=True)
class OffsetSizeLoss:
    """heatmap + offset + 0.1 size (Zhou et al. 2019, eq. 4; sizes in feature pixels, as in the official code)."""

    heatmap: Heatmap = "focal"
    heatmap_weight: float = 1.0
    offset_weight: float = 1.0
    size_weight: float = 0.1

    def __call__(self, maps: OffsetSizeMaps, targets: OffsetSizeTargets, divisors: Tensor | None = None) -> LossValue:
        """`targets` of a batch; `divisors`: objects and places, > 0, those of this batch when None."""
        objects, places = counts(targets).clamp(min=1) if divisors is None else divisors
        return _weighted({
            "heatmap": (self.heatmap_weight, HEATMAP_LOSSES[self.heatmap](maps.heatmap, targets.heatmap, objects)),
            "offset": (self.offset_weight, l1_loss(maps.offset, targets.offset, targets.mask, places)),
            "size": (self.size_weight, l1_loss(maps.size, targets.size, targets.mask, places)),
        })  # fmt: skip


@dataclass(frozen=True)
class LtrbLoss:
    """heatmap + 5 box, the box by GIoU; weights as Liu et al. 2019 ("TTFNet", arXiv 1909.00700) have them."""

    heatmap: Heatmap = "focal"
    heatmap_weight: float = 1.0
    box_weight: float = 5.0

    def __call__(self, maps: LtrbMaps, targets: LtrbTargets, divisors: Tensor | None = None) -> LossValue:
        """`targets` of a batch; `divisors`: objects and places, > 0, those of this batch when None."""
        objects, places = counts(targets).clamp(min=1) if divisors is None else divisors
        return _weighted({
            "heatmap": (self.heatmap_weight, HEATMAP_LOSSES[self.heatmap](maps.heatmap, targets.heatmap, objects)),
            "box": (self.box_weight, giou_loss(maps.distances, targets.distances, targets.mask, places)),
        })  # fmt: skip


LOSSES: dict[str, type[OffsetSizeLoss] | type[LtrbLoss]] = {"offset_size": OffsetSizeLoss, "ltrb": LtrbLoss}


def _weighted(terms: dict[str, tuple[float, Tensor]]) -> LossValue:
    total = torch.stack([weight * loss for weight, loss in terms.values()]).sum()
    return LossValue(total, {name: loss.detach() for name, (_, loss) in terms.items()})
