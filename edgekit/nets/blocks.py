"""The two residual blocks (He et al. 2015, "Deep Residual Learning", fig. 5) and the choice of normalization.

The lecture names the two forms of the basic block: **ResBlock A** keeps resolution and channels, so its skip is the
identity; **ResBlock B** halves the resolution and doubles the channels, so its skip is a 1x1 convolution with
stride 2. Both are `BasicBlock` here: B is the one that has a `downsample`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn

Norm = Literal["batch", "group", "layer", "instance", "none"]

NORMS: dict[str, Callable[[int], nn.Module]] = {
    "batch": nn.BatchNorm2d,
    "group": lambda channels: nn.GroupNorm(min(32, channels), channels),  # 32 groups: Wu & He 2018, sec. 4
    "layer": lambda channels: nn.GroupNorm(1, channels),  # one group = over C, H, W (Ba et al. 2016)
    "instance": lambda channels: nn.InstanceNorm2d(channels, affine=True),
    "none": lambda channels: nn.Identity(),
}


def conv3x3(c_in: int, c_out: int, stride: int, bias: bool) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, 3, stride=stride, padding=1, bias=bias)


def conv1x1(c_in: int, c_out: int, stride: int, bias: bool) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, 1, stride=stride, bias=bias)


def shortcut(c_in: int, c_out: int, stride: int, norm: Norm) -> nn.Module | None:
    """None (identity, ResBlock A) or 1x1 convolution + norm (projection, ResBlock B)."""
    if stride == 1 and c_in == c_out:
        return None
    return nn.Sequential(conv1x1(c_in, c_out, stride, bias=norm == "none"), NORMS[norm](c_out))


class BasicBlock(nn.Module):
    """relu(norm(conv3x3(relu(norm(conv3x3(x))))) + skip(x)); ResBlock A when skip is the identity, else B.

    Args:
        c_in: channels of x.
        width: channels of both convolutions and of the output.
        stride: 1 keeps H and W, 2 halves them.
    """

    expansion = 1

    def __init__(self, c_in: int, width: int, stride: int, norm: Norm) -> None:
        super().__init__()
        bias = norm == "none"
        self.conv1 = conv3x3(c_in, width, stride, bias)
        self.bn1 = NORMS[norm](width)
        self.conv2 = conv3x3(width, width, 1, bias)
        self.bn2 = NORMS[norm](width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut(c_in, width, stride, norm)

    def forward(self, x: Tensor) -> Tensor:  # [N, c_in, H, W] -> [N, width, H/stride, W/stride]
        skip = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        out: Tensor = self.relu(y + skip)
        return out


class Bottleneck(nn.Module):
    """1x1 down, 3x3, 1x1 up by 4, of ResNet-50 and deeper; the stride is in the 3x3 ("v1.5", as torchvision has it)."""

    expansion = 4

    def __init__(self, c_in: int, width: int, stride: int, norm: Norm) -> None:
        super().__init__()
        bias = norm == "none"
        c_out = width * self.expansion
        self.conv1 = conv1x1(c_in, width, 1, bias)
        self.bn1 = NORMS[norm](width)
        self.conv2 = conv3x3(width, width, stride, bias)
        self.bn2 = NORMS[norm](width)
        self.conv3 = conv1x1(width, c_out, 1, bias)
        self.bn3 = NORMS[norm](c_out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut(c_in, c_out, stride, norm)

    def forward(self, x: Tensor) -> Tensor:  # [N, c_in, H, W] -> [N, 4 width, H/stride, W/stride]
        skip = x if self.downsample is None else self.downsample(x)
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        out: Tensor = self.relu(y + skip)
        return out
