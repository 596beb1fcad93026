"""U-Net (Ronneberger et al. 2015, arXiv 1505.04597) of residual blocks: the class of every pixel.

The way down is a ResNet (`unet-resnet18`) or any net of timm with features at strides 2 to 32 (`unet`). The way up
doubles the map four times, and each time lays the trunk's map of that size beside it:

    nearest x2, 3x3 convolution, concatenation with the skip, residual block

At stride 2 a 1x1 convolution gives logits, which are enlarged bilinearly to the input's size: a fifth stage there would
cost as much as the four together. Every convolution but the last is followed by a norm, BatchNorm if nothing else is
asked for, so that `fold_bn` leaves none.
"""

from __future__ import annotations

import copy
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekit.errors import UsageError
from edgekit.nets.blocks import NORMS, BasicBlock, Norm, conv3x3
from edgekit.nets.pyramid import channels, check_trunk, pyramid
from edgekit.nets.registry import Net
from edgekit.nets.resnet import LAYOUTS, Trunk, check_width, he_init, scaled

MULTIPLE = 32  # the trunk's stride, which height and width of the input must be multiples of
STRIDES = (2, 4, 8, 16, 32)
CHANNELS = (256, 128, 64, 32)  # of the way up, at strides 16, 8, 4 and 2


class Up(nn.Module):
    """One step up: block([relu(norm(conv3x3(nearest x2 of x))), skip])."""

    def __init__(self, c_in: int, c_skip: int, c_out: int, norm: Norm) -> None:
        super().__init__()
        self.conv = conv3x3(c_in, c_out, 1, bias=norm == "none")
        self.bn = NORMS[norm](c_out)
        self.relu = nn.ReLU(inplace=True)
        self.block = BasicBlock(c_out + c_skip, c_out, 1, norm)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:  # [N, c_in, h, w], [N, c_skip, 2h, 2w]
        x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
        x = self.relu(self.bn(self.conv(x)))
        out: Tensor = self.block(torch.cat((x, skip), 1))
        return out  # [N, c_out, 2h, 2w]


class MaskTensors(NamedTuple):
    """What a segmentation model answers.

    Attributes:
        mask: int32 [N, H, W], the class with the largest logit.
        score: float32 [N, H, W], 0..1, its softmax.
    """

    mask: Tensor
    score: Tensor


class Segmenter(nn.Module):
    """Picture to logits: float32 [N, 3, H, W], H and W multiples of 32, normalized -> float32 [N, C, H, W].

    Attributes:
        decodes: whether it answers with `MaskTensors` instead.
    """

    decodes = False

    def logits(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Any:  # Tensor, or MaskTensors
        logits = self.logits(x)
        return MaskTensors(logits.argmax(1).int(), logits.softmax(1).amax(1)) if self.decodes else logits

    def decoding(self) -> Segmenter:
        """One that decodes, of the same parts under the same paths: weights, folding and reports speak of the same."""
        one = copy.copy(self)
        one.decodes = True
        return one


class UNet(Segmenter):
    """A ResNet or a trunk by name down, residual blocks up.

    Args:
        arch: a key of `UNETS`, e.g. `unet-resnet18`, or a trunk by name, e.g. `timm:tf_efficientnet_lite0`.
        classes: C.
        width: factor on the channels of the way up, and of a ResNet's. A trunk by name keeps its own.
        norm: of a ResNet and the way up, as in `edgekit.nets.blocks.NORMS`.

    Attributes:
        trunk: the ResNet, with its key names, or the `pyramid` of a trunk by name.
        decoder: the four steps up.
        head: the 1x1 convolution.
        by_class: path of the layer that has an output a class.

    Raises:
        UsageError: an argument that is not one of these.
    """

    by_class = "head"

    def __init__(self, arch: str, classes: int, width: float = 1.0, norm: Norm = "batch") -> None:
        super().__init__()
        if ":" not in arch and arch not in UNETS:
            raise UsageError("Unknown net.", got=arch, expected="one of " + ", ".join(UNETS))
        check_width(width)
        self.trunk: nn.Module
        if ":" in arch:
            self.trunk = pyramid(arch, STRIDES)
            *skips, c = channels(self.trunk)
        else:
            self.trunk = resnet = Trunk(UNETS[arch], norm, width)
            *skips, c = (resnet.conv1.out_channels, *resnet.channels)
        self.decoder = nn.ModuleList()
        for wanted, c_skip in zip(CHANNELS, reversed(skips), strict=True):
            self.decoder.append(Up(c, c_skip, c := scaled(wanted, width), norm))
        self.head = nn.Conv2d(c, classes, 1)
        for part in (self.decoder, self.head) if ":" in arch else (self,):  # timm has initialized its own
            he_init(part)

    def features(self, x: Tensor) -> tuple[Tensor, ...]:
        """The trunk's five maps, at strides 2, 4, 8, 16 and 32."""
        if isinstance(self.trunk, Trunk):
            c1 = self.trunk.stem(x)
            return (c1, *self.trunk.behind_stem(c1))
        maps: list[Tensor] = self.trunk(x)
        return tuple(maps)

    def logits(self, x: Tensor) -> Tensor:
        *skips, x = self.features(x)  # [N, 512, H/32, W/32]
        for up, skip in zip(self.decoder, reversed(skips), strict=True):
            x = up(x, skip)  # [N, 256, H/16, W/16] to [N, 32, H/2, W/2]
        return functional.interpolate(self.head(x), scale_factor=2.0, mode="bilinear", align_corners=False)


UNETS: dict[str, str] = {f"unet-{arch}": arch for arch in LAYOUTS}


def check_size(height: int, width: int) -> None:
    """Raises UsageError unless both are positive multiples of `MULTIPLE`: the way up doubles what the trunk halves."""
    if min(height, width) <= 0 or height % MULTIPLE or width % MULTIPLE:
        near = "x".join(str(-(-max(1, side) // MULTIPLE) * MULTIPLE) for side in (height, width))
        raise UsageError(
            "A U-Net cannot take this input size.",
            got=f"{height}x{width}",
            expected=f"multiples of {MULTIPLE}",
            fix=f"{near} with resize = 'letterbox' cuts and shrinks nothing",
        )


def on_trunk(classes: int, trunk: str = "timm:tf_efficientnet_lite0", width: float = 1.0, norm: Norm = "batch") -> UNet:
    """A U-Net on a trunk by name; `width` is a factor on the channels of the way up, `norm` is of it alone.

    Raises:
        UsageError: as `UNet` and `pyramid`.
    """
    check_trunk(trunk)
    return UNet(trunk, classes, width, norm)


NETS = (
    *(
        Net(name, partial(UNet, name), heads=("decoder", "head"), task="segmentation", trunk=trunk)
        for name, trunk in UNETS.items()
    ),
    Net("unet", on_trunk, heads=("decoder", "head"), task="segmentation"),
)
