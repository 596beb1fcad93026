"""A net with its decoding: what a detector's or a U-Net's checkpoint, its graph and its engine all answer."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor, nn

from edgekit.nets import unet
from edgekit.nets.centernet import CenterNet, check_size
from edgekit.nets.decoding.decode import Decode
from edgekit.nets.unet import Segmenter
from edgekit.spec import ModelSpec, Suppression
from edgekit.tasks import task_of


class RawOffsetSize(NamedTuple):
    """`DetectionTensors`, and the maps of a `offset_size` head that they were decoded from."""

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    heatmap: Tensor
    offset: Tensor
    size: Tensor


class RawLtrb(NamedTuple):
    """`DetectionTensors`, and the maps of an `ltrb` head that they were decoded from."""

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    heatmap: Tensor
    distances: Tensor


class CenterNetWithDecoding(CenterNet):
    """Picture to boxes: float32 [N, 3, H, W], normalized -> `DetectionTensors` of `keep` places.

    It shares the parts of `net`, under the same paths, so weights, folding and reports speak of the same layers.

    Args:
        net: gives the maps.
        keep: detections a picture, K.
        suppression: of duplicates among them.
        raw: give the maps too (`RawOffsetSize`, `RawLtrb`).
    """

    def __init__(self, net: CenterNet, keep: int, suppression: Suppression | None = None, *, raw: bool = False) -> None:
        nn.Module.__init__(self)
        self.schema = net.schema
        self.trunk, self.neck, self.branches = net.trunk, net.neck, net.branches
        self.decode = Decode(keep, suppression)
        self.raw = raw
        self.training = net.training

    def forward(self, x: Tensor) -> Any:  # a CenterNet, which this is and more, gives Maps
        maps = super().forward(x)
        found = self.decode(maps)
        if not self.raw:
            return found
        kind = RawOffsetSize if self.schema == "offset_size" else RawLtrb
        return kind(*(found[i] for i in range(3)), *maps)


class MapsWithDecoding(nn.Module):
    """As CenterNetWithDecoding, of any net that gives a CenterNet's maps.

    Args:
        net: float32 [N, 3, H, W], normalized -> `OffsetSizeMaps` or `LtrbMaps`.
        keep, suppression: as there.
    """

    def __init__(self, net: nn.Module, keep: int, suppression: Suppression | None = None) -> None:
        super().__init__()
        self.net, self.decode = net, Decode(keep, suppression)

    def forward(self, x: Tensor) -> Any:
        return self.decode(self.net(x))


def with_decoding(net: nn.Module, spec: ModelSpec, raw: bool = False) -> nn.Module:
    """`net` as it answers: a classifier itself, a CenterNet and a U-Net with their decoding.

    Raises:
        UsageError: an input size that the net cannot take.
    """
    if not task_of(spec.task).decodes_in_graph:
        return net
    size = (spec.preprocess.height, spec.preprocess.width)
    if isinstance(net, Segmenter):
        unet.check_size(*size)
        return net.decoding()
    check_size(*size)
    if not isinstance(net, CenterNet):
        return MapsWithDecoding(net, spec.max_detections, spec.suppression)
    return CenterNetWithDecoding(net, spec.max_detections, spec.suppression, raw=raw)
