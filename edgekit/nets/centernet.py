"""CenterNet (Zhou et al. 2019, "Objects as Points", arXiv 1904.07850): objects as peaks of a heatmap.

The trunk is a ResNet (`centernet-resnet18`), or any net of timm with features at strides 4 to 32 (`centernet`).

Two necks bring the trunk's features back to stride 4, two heads say what stands there:

    deconv   the paper's: three 4x4 stride-2 transposed convolutions on the last feature map
    fpn      all four feature maps (Lin et al. 2017): 1x1 lateral, nearest x2, 3x3; no deformable convolutions
    offset_size  the paper's and the lecture's: C scores, 2 offsets, 2 sizes
    ltrb     C scores, 4 distances to the box's sides (Tian et al. 2019, "FCOS"), for the GIoU loss

Every convolution but the heads' is followed by BatchNorm and ReLU, so that `fold_bn` leaves no norm.
"""

from __future__ import annotations

from functools import partial
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekit.errors import UsageError
from edgekit.nets.pyramid import channels, check_trunk, pyramid
from edgekit.nets.registry import Net
from edgekit.nets.resnet import LAYOUTS, Trunk, check_width, he_init, scaled

Neck = Literal["deconv", "fpn"]
Head = Literal["offset_size", "ltrb"]

STRIDE = 4  # input pixels per feature pixel
MULTIPLE = 32  # the trunk's stride, which height and width of the input must be multiples of
PRIOR = -2.19  # bias of the heatmap: sigmoid(-2.19) = 0.1 (the official code, after Lin et al. 2017, sec. 4.1)
REACH = 4.0  # feature pixels per unit of softplus(distances), so that the head works with numbers of about 1


class OffsetSizeMaps(NamedTuple):
    """What the `offset_size` head gives, float32, h = H/4 and w = W/4.

    Attributes:
        heatmap: logits [N, C, h, w]; the class's probability that an object's centre lies in this feature pixel.
        offset: [N, 2, h, w], x then y: the centre minus the feature pixel's upper left corner, 0 to 1 feature pixel.
        size: [N, 2, h, w], width then height in feature pixels.
    """

    heatmap: Tensor
    offset: Tensor
    size: Tensor


class LtrbMaps(NamedTuple):
    """What the `ltrb` head gives, float32, h = H/4 and w = W/4.

    Attributes:
        heatmap: as in `OffsetSizeMaps`.
        distances: [N, 4, h, w], from the feature pixel's middle (x + 0.5, y + 0.5) to the left, top, right and bottom
            side, in feature pixels, > 0.
    """

    heatmap: Tensor
    distances: Tensor


Maps = OffsetSizeMaps | LtrbMaps

BRANCHES: dict[str, dict[str, int]] = {
    "offset_size": {"offset": 2, "size": 2},
    "ltrb": {"distances": 4},
}  # beside the heatmap


class DeconvNeck(nn.Module):
    """Sec. 5 of the paper ("ResNet"), without deformable convolutions: [N, C5, H/32, W/32] -> [N, 256, H/4, W/4].

    Each layer starts as a bilinear enlargement of a random mixture of its inputs. (The official code's
    `fill_up_weights` was written for one group per channel; in these full layers it reaches output 0 only.)
    """

    def __init__(self, channels: tuple[int, ...], width: float) -> None:
        super().__init__()
        c_in, self.c_out = channels[-1], scaled(256, width)
        layers: list[nn.Module] = []
        for _ in range(3):
            layer = nn.ConvTranspose2d(c_in, self.c_out, 4, stride=2, padding=1, bias=False)
            bilinear_init(layer)
            layers += [layer, nn.BatchNorm2d(self.c_out), nn.ReLU(inplace=True)]
            c_in = self.c_out
        self.layers = nn.Sequential(*layers)

    def forward(self, features: tuple[Tensor, ...]) -> Tensor:
        x: Tensor = self.layers(features[-1])
        return x


class Merge(nn.Module):
    """One step up: relu(bn(conv3x3(enlarged x + bn(conv1x1(lateral)))))."""

    def __init__(self, c_lateral: int, c_in: int, c_out: int) -> None:
        super().__init__()
        self.lateral = nn.Sequential(nn.Conv2d(c_lateral, c_in, 1, bias=False), nn.BatchNorm2d(c_in))
        self.smooth = nn.Sequential(
            nn.Conv2d(c_in, c_out, 3, padding=1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU(inplace=True)
        )

    def forward(self, x: Tensor, lateral: Tensor) -> Tensor:  # [N, c_in, h, w], [N, c_lateral, 2h, 2w]
        x = functional.interpolate(x, scale_factor=2.0, mode="nearest") + self.lateral(lateral)
        out: Tensor = self.smooth(x)
        return out  # [N, c_out, 2h, 2w]


class FpnNeck(nn.Module):
    """Features at strides 4, 8, 16, 32 -> [N, 64, H/4, W/4]; 256, 128 and 64 channels at strides 16, 8 and 4."""

    def __init__(self, channels: tuple[int, ...], width: float) -> None:
        super().__init__()
        c2, c3, c4, c5 = channels
        at16, at8, self.c_out = (scaled(c, width) for c in (256, 128, 64))
        self.top = nn.Sequential(nn.Conv2d(c5, at16, 1, bias=False), nn.BatchNorm2d(at16), nn.ReLU(inplace=True))
        self.merge4 = Merge(c4, at16, at8)
        self.merge3 = Merge(c3, at8, self.c_out)
        self.merge2 = Merge(c2, self.c_out, self.c_out)

    def forward(self, features: tuple[Tensor, ...]) -> Tensor:
        c2, c3, c4, c5 = features
        x = self.merge4(self.top(c5), c4)  # [N, 128, H/16, W/16]
        x = self.merge3(x, c3)  # [N, 64, H/8, W/8]
        out: Tensor = self.merge2(x, c2)
        return out  # [N, 64, H/4, W/4]


NECKS: dict[str, type[DeconvNeck] | type[FpnNeck]] = {"deconv": DeconvNeck, "fpn": FpnNeck}


class CenterNet(nn.Module):
    """Picture to raw maps: float32 [N, 3, H, W], H and W multiples of 32, normalized -> `OffsetSizeMaps` or `LtrbMaps`.

    Args:
        arch: a key of `CENTERNETS`, e.g. `centernet-resnet18`, or a trunk by name, e.g. `timm:tf_efficientnet_lite0`.
        classes: C, the channels of the heatmap.
        neck: `deconv` or `fpn`.
        head: `offset_size` or `ltrb`; `edgekit.nets.decoding.decode` and `edgekit.training` go by this name.
        width: factor on all channels of trunk, neck and branches; with `fpn` and one class 0.34 makes 1.4
            million parameters and 0.25 makes 0.75 (resnet18). A trunk by name keeps its channels.

    Attributes:
        trunk: the ResNet, with its key names: `net.trunk.load_state_dict` takes a plain one's state without `fc`; or
            the `pyramid` of a trunk by name.
        schema: the head's name.
        by_class: path of the layer that has an output a class.

    Raises:
        UsageError: an argument that is not one of these.
    """

    by_class = "branches.heatmap.2"

    def __init__(self, arch: str, classes: int, neck: Neck = "fpn", head: Head = "ltrb", width: float = 1.0) -> None:
        super().__init__()
        by_name = ":" in arch
        for what, got, known in (
            ("net", arch, (arch,) if by_name else tuple(CENTERNETS)),
            ("neck", neck, get_args(Neck)),
            ("head", head, get_args(Head)),
        ):
            if got not in known:
                raise UsageError(f"Unknown {what}.", got=str(got), expected="one of " + ", ".join(known))
        check_width(width)
        self.schema: Head = head
        self.trunk: nn.Module
        if by_name:
            self.trunk = pyramid(arch)
            of_trunk = channels(self.trunk)
        else:
            self.trunk = resnet = Trunk(CENTERNETS[arch], width=width)
            of_trunk = resnet.channels
        self.neck = NECKS[neck](of_trunk, width)
        branch = scaled(64, width)
        outputs = {"heatmap": classes, **BRANCHES[head]}
        self.branches = nn.ModuleDict({name: _branch(self.neck.c_out, branch, c) for name, c in outputs.items()})
        for part in (self.neck, self.branches) if by_name else (self,):  # timm has initialized its own
            he_init(part)
        for name, module in self.branches.items():
            last = module.get_submodule("2")
            assert isinstance(last, nn.Conv2d)
            assert last.bias is not None
            nn.init.normal_(last.weight, std=0.001)  # the official code's: at first every place gives the bias
            nn.init.constant_(last.bias, {"heatmap": PRIOR, "distances": 1.0}.get(name, 0.0))

    def forward(self, x: Tensor) -> Maps:
        x = self.neck(self.trunk(x))  # [N, 256 or 64, H/4, W/4]
        heatmap = self.branches["heatmap"](x)  # [N, C, H/4, W/4]
        if self.schema == "offset_size":
            return OffsetSizeMaps(heatmap, self.branches["offset"](x), self.branches["size"](x))
        return LtrbMaps(heatmap, functional.softplus(self.branches["distances"](x)) * REACH)


CENTERNETS: dict[str, str] = {f"centernet-{arch}": arch for arch in LAYOUTS}


def check_size(height: int, width: int) -> None:
    """Raises UsageError unless both are positive multiples of `MULTIPLE`: the necks double what the trunk halves."""
    if min(height, width) <= 0 or height % MULTIPLE or width % MULTIPLE:
        raise UsageError(
            "A CenterNet cannot take this input size.",
            got=f"{height}x{width}",
            expected=f"multiples of {MULTIPLE}",
            fix=f"{_nearest(height)}x{_nearest(width)} is the nearest",
        )


def bilinear_init(layer: nn.ConvTranspose2d) -> None:
    """Weights that enlarge bilinearly (Long et al. 2015, sec. 3.3) and mix channels at random, as `he_init` does."""
    side, stride = layer.kernel_size[0], layer.stride[0]
    taps = 1 - (torch.arange(side) - (side - 1) / 2).abs() / stride  # [1/4, 3/4, 3/4, 1/4] for side 4, stride 2
    with torch.no_grad():
        mixture = torch.randn(layer.in_channels, layer.out_channels, 1, 1) * (2 / layer.in_channels) ** 0.5
        layer.weight.copy_(mixture * torch.outer(taps, taps))


def _branch(c_in: int, c_mid: int, c_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(c_in, c_mid, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(c_mid, c_out, 1))


def _nearest(side: int) -> int:
    return max(MULTIPLE, round(side / MULTIPLE) * MULTIPLE)


def on_trunk(
    classes: int,
    trunk: str = "timm:tf_efficientnet_lite0",
    neck: Neck = "fpn",
    head: Head = "ltrb",
    width: float = 1.0,
) -> CenterNet:
    """A CenterNet on a trunk by name; `width` is a factor on the channels of neck and branches.

    Raises:
        UsageError: as `CenterNet` and `pyramid`.
    """
    check_trunk(trunk)
    return CenterNet(trunk, classes, neck, head, width)


NETS = (
    *(
        Net(name, partial(CenterNet, name), heads=("neck", "branches"), task="detection", trunk=trunk)
        for name, trunk in CENTERNETS.items()
    ),
    Net("centernet", on_trunk, heads=("neck", "branches"), task="detection"),
)
