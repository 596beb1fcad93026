"""From a CenterNet's raw maps to boxes, as a part of the graph (Zhou et al. 2019, sec. 3 and 4: peaks, no NMS), and on
request without duplicates.

What decides between places stays on the logits, so that only the K kept ones need a sigmoid; indices stay int32, which
every runtime computes exactly (float16 has no integer above 65504, and TensorRT no INT64 before version 10).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekit.errors import UsageError
from edgekit.nets.centernet import STRIDE, Maps, OffsetSizeMaps
from edgekit.nets.decoding.suppress import suppressed
from edgekit.vision.spec import Suppression

MOST = 3840  # TensorRT's TopK parses more and then does not build
NO_PEAK = -1e4  # logit of a place beside a peak: its sigmoid is 0, and float16 can hold it


class DetectionTensors(NamedTuple):
    """K detections of each of N pictures, best first. Places that are no peak fill the end with score 0.

    Attributes:
        boxes: float32 [N, K, 4], x1 y1 x2 y2 in input pixels, x1 <= x2 and y1 <= y2, not clipped to the picture.
        scores: float32 [N, K], 0 to 1, descending.
        labels: int32 [N, K], indices of classes.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor


class Decode(nn.Module):
    """`OffsetSizeMaps` or `LtrbMaps` of any size -> `DetectionTensors`; without parameters.

    Args:
        k: detections kept of each picture, 1 to 3840; the maps must have as many places (C h w).
        suppression: of duplicates among them; None, as the paper has it: peaks alone.

    Raises:
        UsageError: a k out of range, or (when called) maps with fewer places.
    """

    def __init__(self, k: int = 100, suppression: Suppression | None = None) -> None:
        super().__init__()
        if not isinstance(k, int) or not 1 <= k <= MOST:
            raise UsageError("Detections kept of each picture.", got=repr(k), expected=f"1 to {MOST}")
        self.k = k
        self.suppression = suppression

    def forward(self, maps: Maps) -> DetectionTensors:
        found = decode(maps, self.k)
        if self.suppression is None:
            return found
        return DetectionTensors(*suppressed(*found, self.suppression))


def decode(maps: Maps, k: int) -> DetectionTensors:
    """The K best peaks of `maps` and the boxes that stand there.

    `offset_size`: centre = feature pixel + offset, box = centre -+ size / 2 (sec. 4, "From points to bounding boxes");
    a negative size, which an untrained net can give, counts as 0. `ltrb`: box = middle of the feature pixel -+
    distances.
    """
    scores, labels, x, y, cell = top_peaks(maps.heatmap, k)
    corner = torch.stack((x, y), 2).float()  # [N, K, 2], of the feature pixel
    if isinstance(maps, OffsetSizeMaps):
        offset, size = gather(torch.cat((maps.offset, maps.size), 1), cell).chunk(2, 2)  # [N, K, 2] each
        half = size.relu() / 2
        boxes = torch.cat((corner + offset - half, corner + offset + half), 2)
    else:
        left_top, right_bottom = gather(maps.distances, cell).chunk(2, 2)  # [N, K, 2] each
        boxes = torch.cat((corner + 0.5 - left_top, corner + 0.5 + right_bottom), 2)
    return DetectionTensors(boxes * STRIDE, scores, labels)


def gather(maps: Tensor, cell: Tensor) -> Tensor:
    """float32 [N, K, c]: what maps [N, c, h, w] have at the feature pixels `cell` = y w + x, int32 [N, K]."""
    cells = torch.stack([cell] * maps.shape[1], 1)  # [N, c, K]
    return maps.float().flatten(2).gather(2, cells.long()).transpose(1, 2)


def top_peaks(heatmap: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The K highest logits of [N, C, h, w] that no neighbour in their 3x3 exceeds, over all classes and places.

    Wider windows lose insects that sit side by side: on 73 pictures of bees and hornets a centernet-mobile at 384 has
    AP50 0.799 with 3x3, 0.791 with 5x5, 0.755 with 7x7; with duplicates suppressed 0.802, 0.791, 0.755.

    Returns:
        scores (float32), labels, x, y and y w + x (int32), [N, K] each, best first.
    """
    classes, height, width = heatmap.shape[1:]
    places = height * width
    if k > classes * places:
        raise UsageError(
            "The heatmap has fewer places than detections are to be kept.",
            got=f"{classes} classes x {height} x {width} places",
            expected=f"at least {k}",
            fix="keep fewer, or take a larger input",
        )
    logits = heatmap.float()
    highest = functional.max_pool2d(logits, 3, stride=1, padding=1)
    peaks = torch.where(logits == highest, logits, NO_PEAK)
    values, index = peaks.flatten(1).topk(k)  # [N, K]
    index = index.int()
    labels, cell = index // places, index % places
    return values.sigmoid(), labels, cell % width, cell // width, cell
