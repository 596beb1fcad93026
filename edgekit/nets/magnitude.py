"""A U-Net whose layers keep the magnitude of what goes through them (Karras et al. 2024, "Analyzing and Improving the
Training Dynamics of Diffusion Models", EDM2, arXiv 2312.02696, config G).

Magnitude is the root of the mean square. Every layer gives 1 where it gets 1, in expectation: weights are normalized,
sums, concatenations and activations divided by what they add. There is no bias and no BatchNorm; in the way down each
block normalizes the channels of a pixel. In use the normalized weights are constants, so that `fold_bn` makes plain
convolutions of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekit.nets.registry import Net
from edgekit.nets.resnet import check_width, scaled
from edgekit.nets.unet import Segmenter

CHANNELS = (32, 64, 128, 256, 256)  # at strides 2, 4, 8, 16 and 32
EPSILON = 1e-4  # appendix B.2
SILU = 0.596  # magnitude of silu(x) for normally distributed x, eq. 81
BALANCE = 0.3  # of a block's branch in its sum, section 2.3 (config G)


class MPConv(nn.Conv2d):
    """A convolution without bias whose filters have length 1 (forced weight normalization, section 2.3, config E).

    In training the stored weights are set to their normalized values before each use, so that their length cannot drift
    and the effective learning rate with it (eq. 66); the gradient is that of the normalized weight.
    """

    def __init__(self, c_in: int, c_out: int, side: int, stride: int = 1) -> None:
        super().__init__(c_in, c_out, side, stride=stride, padding=side // 2, bias=False)
        nn.init.normal_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            with torch.no_grad():
                self.weight.copy_(unit_rows(self.weight) * math.sqrt(self.weight[0].numel()))
        return functional.conv2d(x, unit_rows(self.weight).to(x.dtype), None, self.stride, self.padding)


def unit_rows(weight: Tensor) -> Tensor:
    """[c_out, ...] with each row of length 1, or less where it is nearly 0."""
    rows = weight.flatten(1)
    size = math.sqrt(rows.shape[1])
    lengths: Tensor = torch.linalg.vector_norm(rows, dim=1, keepdim=True)
    return (rows / (EPSILON * size + lengths)).view_as(weight)


def pixel_norm(x: Tensor) -> Tensor:
    """[N, C, H, W] -> the channels of each pixel with a mean square of 1 (config G; eq. 30 of Karras et al. 2018)."""
    return x / (EPSILON + x.square().mean(1, keepdim=True).sqrt())


def mp_silu(x: Tensor) -> Tensor:
    """Eq. 81."""
    return functional.silu(x) / SILU


def mp_sum(a: Tensor, b: Tensor, share: float = BALANCE) -> Tensor:
    """(1 - share) a + share b, divided by what independent a and b of magnitude 1 give (eq. 88)."""
    return (a * (1 - share) + b * share) / math.hypot(1 - share, share)


def mp_cat(a: Tensor, b: Tensor, share: float = 0.5) -> Tensor:
    """Channels of a, then of b, such that each side has its share whatever its number of channels (eq. 103)."""
    n, m = a.shape[1], b.shape[1]
    whole = math.sqrt((n + m) / ((1 - share) ** 2 + share**2))
    return torch.cat((a * (whole / math.sqrt(n) * (1 - share)), b * (whole / math.sqrt(m) * share)), 1)


class MPBlock(nn.Module):
    """Two 3x3 convolutions behind their activations, summed with what came in (fig. 21, without embedding, attention).

    Args:
        down: pixel norm after the 1x1 of the skip, as in the encoder; else the 1x1 is behind the branch, as in the
            decoder.
        normed: a pixel norm behind each convolution and the sum.
    """

    def __init__(self, c_in: int, c_out: int, *, down: bool, normed: bool = False) -> None:
        super().__init__()
        self.down = down
        self.norm: Callable[[Tensor], Tensor] = pixel_norm if normed else _as_it_is
        self.skip = MPConv(c_in, c_out, 1) if c_in != c_out else nn.Identity()
        self.conv1 = MPConv(c_out if down else c_in, c_out, 3)
        self.conv2 = MPConv(c_out, c_out, 3)

    def forward(self, x: Tensor) -> Tensor:  # [N, c_in, H, W] -> [N, c_out, H, W]
        if self.down:
            x = pixel_norm(self.skip(x))
        y = self.norm(self.conv1(mp_silu(x)))
        y = self.norm(self.conv2(mp_silu(y)))
        return self.norm(mp_sum(x if self.down else self.norm(self.skip(x)), y))


def _as_it_is(x: Tensor) -> Tensor:
    return x


class Gain(nn.Module):
    """A learnt factor: what the last layer's magnitude is, no other layer has one (config F)."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


class MPUNet(Segmenter):
    """The U-Net of magnitude-preserving layers: a block a level down, a block a level up.

    Args:
        classes: C.
        width: factor on all channels.
        normed: a pixel norm behind each convolution and sum of the blocks: their magnitudes stay 1 in training.

    Raises:
        UsageError: a width out of range.
    """

    def __init__(self, classes: int, width: float = 1.0, normed: bool = False) -> None:
        super().__init__()
        check_width(width)
        c = [scaled(channels, width) for channels in CHANNELS]
        self.stem = MPConv(4, c[0], 3, stride=2)  # the fourth channel is 1: what a bias would do (config D)
        self.encoder = nn.ModuleList(
            [MPBlock(a, b, down=True, normed=normed) for a, b in zip((c[0], *c), c, strict=False)]
        )
        ups = list(reversed(c))
        self.decoder = nn.ModuleList(
            [MPBlock(above + skip, skip, down=False, normed=normed) for above, skip in pairwise(ups)]
        )
        self.head = MPConv(c[0], classes, 1)
        self.gain = Gain()

    def logits(self, x: Tensor) -> Tensor:
        # not a pad of the channels: OpenVINO 2026.4 moves the swap of red and blue through one and fails
        x = self.stem(torch.cat((x, torch.ones_like(x[:, :1])), 1))  # [N, 32, H/2, W/2]
        skips: list[Tensor] = []
        for level, block in enumerate(self.encoder):
            x = block(functional.avg_pool2d(x, 2) if level else x)
            skips.append(x)
        x = skips.pop()  # [N, 256, H/32, W/32]
        for block in self.decoder:
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(mp_cat(x, skips.pop()))  # up to [N, 32, H/2, W/2]
        x = self.gain(self.head(x))
        return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


NETS = (Net("unet-mp", partial(MPUNet), heads=("head", "gain"), task="segmentation"),)
