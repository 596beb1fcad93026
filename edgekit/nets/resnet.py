"""ResNet-18/34/50/101/152 (He et al. 2015, table 1) with torchvision's key names.

A stem (7x7 stride 2, max-pool stride 2), four layers of residual blocks, a mean over H and W, one linear layer.
The first block of layers 2, 3 and 4 is a ResBlock B, all others of an 18 or 34 are ResBlocks A.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from edgekit.errors import CheckpointError, UsageError
from edgekit.nets.blocks import NORMS, BasicBlock, Bottleneck, Norm
from edgekit.nets.registry import Inferred, Keys, Net, Reference


@dataclass(frozen=True)
class Layout:
    block: type[BasicBlock] | type[Bottleneck]
    blocks: tuple[int, int, int, int]


LAYOUTS: dict[str, Layout] = {
    "resnet18": Layout(BasicBlock, (2, 2, 2, 2)),
    "resnet34": Layout(BasicBlock, (3, 4, 6, 3)),
    "resnet50": Layout(Bottleneck, (3, 4, 6, 3)),
    "resnet101": Layout(Bottleneck, (3, 4, 23, 3)),
    "resnet152": Layout(Bottleneck, (3, 8, 36, 3)),
}


def scaled(channels: int, width: float) -> int:
    """`channels` times `width`, to a multiple of 8, which SIMD and tensor-core kernels want; at least 8."""
    return max(8, round(channels * width / 8) * 8)


def check_width(width: float) -> None:
    """Raises UsageError unless it is in (0, 4]."""
    if not isinstance(width, (int, float)) or not 0 < width <= 4:
        raise UsageError("The width is a factor on the channels.", got=repr(width), expected="above 0, at most 4")


def he_init(net: nn.Module) -> None:
    """He et al. 2015, "Delving Deep into Rectifiers", eq. 10, for every convolution of `net`."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class Trunk(nn.Module):
    """A ResNet without its last two layers: float32 [N, 3, H, W] -> feature maps at strides 4, 8, 16 and 32.

    The net that it is part of calls `he_init`.

    Args:
        arch: a key of `LAYOUTS`.
        norm: `batch` (foldable), `group`, `layer` (over C, H, W), `instance` or `none`. All sit under the key names
            `bn1`, `bn2`, ... of torchvision, so its and timm's plain ResNet state dicts load strictly.
        width: factor on all channels, `scaled`; the published nets have 1.

    Attributes:
        channels: of the four feature maps.

    Raises:
        UsageError: unknown arch or norm, or a width that is not in (0, 4].
    """

    def __init__(self, arch: str, norm: Norm = "batch", width: float = 1.0) -> None:
        super().__init__()
        if arch not in LAYOUTS:
            raise UsageError("Unknown net.", got=arch, expected="one of " + ", ".join(LAYOUTS))
        if norm not in NORMS:
            raise UsageError("Unknown norm.", got=norm, expected="one of " + ", ".join(NORMS))
        check_width(width)
        layout = LAYOUTS[arch]
        stem, *inner = (scaled(channels, width) for channels in (64, 64, 128, 256, 512))
        self.channels = tuple(channels * layout.block.expansion for channels in inner)
        self.conv1 = nn.Conv2d(3, stem, 7, stride=2, padding=3, bias=norm == "none")
        self.bn1 = NORMS[norm](stem)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = self._layer(layout, 0, stem, inner[0], norm)
        self.layer2 = self._layer(layout, 1, self.channels[0], inner[1], norm)
        self.layer3 = self._layer(layout, 2, self.channels[1], inner[2], norm)
        self.layer4 = self._layer(layout, 3, self.channels[2], inner[3], norm)

    @staticmethod
    def _layer(layout: Layout, index: int, c_in: int, width: int, norm: Norm) -> nn.Sequential:
        c_out = width * layout.block.expansion
        first = layout.block(c_in, width, 1 if index == 0 else 2, norm)
        rest = [layout.block(c_out, width, 1, norm) for _ in range(layout.blocks[index] - 1)]
        return nn.Sequential(first, *rest)

    def stem(self, x: Tensor) -> Tensor:
        c1: Tensor = self.relu(self.bn1(self.conv1(x)))
        return c1  # [N, 64, H/2, W/2]

    def features(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return self.behind_stem(self.stem(x))

    def behind_stem(self, c1: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        c2 = self.layer1(self.maxpool(c1))  # [N, 64 or 256, H/4, W/4]
        c3 = self.layer2(c2)  # [N, 128 or 512, H/8, W/8]
        c4 = self.layer3(c3)  # [N, 256 or 1024, H/16, W/16]
        c5 = self.layer4(c4)  # [N, 512 or 2048, H/32, W/32]
        return c2, c3, c4, c5

    def forward(self, x: Tensor) -> Any:  # a ResNet, which is a trunk and more, gives a Tensor
        return self.features(x)


class ResNet(Trunk):
    """Picture to class scores: float32 [N, 3, H, W] (H, W >= 32), normalized -> logits float32 [N, classes].

    Args:
        arch, norm, width: as `Trunk` has them.
        classes: width of the last layer; 0: there is none, and the net gives what it would take, the features.

    Raises:
        UsageError: unknown arch or norm, or a width out of range.
    """

    def __init__(self, arch: str, classes: int, norm: Norm = "batch", width: float = 1.0) -> None:
        super().__init__(arch, norm, width)
        self.fc = nn.Linear(self.channels[-1], classes) if classes else nn.Identity()
        he_init(self)

    def forward(self, x: Tensor) -> Tensor:
        *_, x = self.features(x)
        # a mean, not pool + flatten: with a dynamic batch a flatten exports as Shape and Reshape
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


NORMS_UNNAMED = ("group", "layer", "instance")  # what keys do not tell apart
FIRST = "layer1.0.conv1.weight"


def infer_resnet(state: Mapping[str, Tensor], stated: Mapping[str, Any]) -> Inferred | None:
    """Arch, number of classes (0: no last layer) and norm of a plain ResNet's state dict, or None.

    Args:
        stated: `norm`, as --norm says it.

    Raises:
        CheckpointError: a ResNet's keys, and not a ResNet of `LAYOUTS`; or its norm cannot be told from the keys:
            group, layer and instance norm have the same ones.
        UsageError: a stated norm that the keys contradict, or that needs not be stated.
    """
    if FIRST not in state and "conv1.weight" not in state:
        return None
    norm = stated.get("norm")
    if norm is not None:
        _check_norm(state, norm)
        state = {k: v for k, v in state.items() if ".bn" not in f".{k}"}
    keys = set(state)
    counts = tuple(
        len({k.split(".")[1] for k in keys if k.startswith(f"layer{i}.") and k.endswith(".conv1.weight")})
        for i in (1, 2, 3, 4)
    )
    block = Bottleneck if any(k.endswith(".conv3.weight") for k in keys) else BasicBlock
    arch = next((a for a, known in LAYOUTS.items() if known.blocks == counts and known.block is block), None)
    head = state.get("fc.weight")
    stem, first = state.get("conv1.weight"), state.get(FIRST)
    if arch is not None and stem is not None and first is not None:
        _refuse_near(state, arch, stem, first)
    if arch is None or (head is not None and head.ndim != 2) or "conv1.weight" not in keys:
        shown = ", ".join(sorted(keys)[:4])
        raise CheckpointError(
            "The state dict is not of a net that edgekit knows.",
            got=f"{len(keys)} keys ({shown}, ...), {block.__name__} blocks {counts}",
            expected="torchvision's key names of " + ", ".join(LAYOUTS),
            fix="save a plain ResNet's state_dict(), or add the net (CONTRIBUTING.md, 'Add a net')",
        )
    return Inferred(arch, 0 if head is None else int(head.shape[0]), {"norm": norm or _norm_of(state)})


def _norm_of(state: Mapping[str, Tensor]) -> Norm:
    if "bn1.running_mean" in state:
        return "batch"
    if "bn1.weight" not in state:
        return "none"
    raise CheckpointError(
        "The state dict does not say which normalization its net has.",
        got="bn1.weight without bn1.running_mean: group, layer and instance norm look the same, and so does batch "
        "norm saved without its running statistics",
        expected="batch norm with running_mean and running_var, no norm, or an edgekit checkpoint, which says it",
        fix="of a net with batch norm: torch.save(net.state_dict(), ...), since net.parameters() leaves the "
        "statistics out (track_running_stats=False has none, and cannot be exported); of another: --norm group, "
        "--norm layer or --norm instance",
    )


def _check_norm(state: Mapping[str, Tensor], norm: str) -> None:
    """Raises UsageError for a stated norm that is none of `NORMS_UNNAMED`, or not what the keys say."""
    if norm not in NORMS_UNNAMED:
        raise UsageError("--norm does not take this value.", got=norm, expected=", ".join(NORMS_UNNAMED))
    if "bn1.running_mean" in state or "bn1.weight" not in state:
        raise UsageError(
            "--norm contradicts the keys of the state dict.",
            got=norm,
            expected="batch norm, by its running statistics" if "bn1.running_mean" in state else "no norm",
            fix="leave --norm out",
        )


def _refuse_near(state: Mapping[str, Tensor], arch: str, stem: Tensor, first: Tensor) -> None:
    """Raises CheckpointError for what has a ResNet's names and is none: by its name, with a way out."""
    plain = "a plain ResNet: 3 channels in, 64 after the stem, a last layer fc"
    if "fc.weight" not in state and (other := _rest(state)):
        raise CheckpointError(
            f"These are the weights of a {arch} with another last layer than fc, which edgekit does not know.",
            got=f"no fc.weight beside {', '.join(other)}",
            expected=plain,
            fix="save the whole classifier's net.state_dict(), with a last layer called fc; without what stands beside "
            "the trunk it gives features",
        )
    if stem.ndim == 4 and stem.shape[1] != 3:
        raise CheckpointError(
            f"These are the weights of a {arch} for pictures of {stem.shape[1]} channel{'s' * (stem.shape[1] > 1)}.",
            got=f"conv1.weight {list(stem.shape)}",
            expected=plain,
            fix="for grey pictures, read as three equal channels: state['conv1.weight'] = "
            "state['conv1.weight'].repeat(1, 3, 1, 1) / 3, torch.save(state, ...), and --preprocess with the mean and "
            "std of the grey ones three times"
            if stem.shape[1] == 1
            else "train one on three channels",
        )
    second = state.get("layer1.0.conv2.weight")
    if first.shape[0] != 64 or (second is not None and tuple(second.shape[:2]) != (64, 64)):
        raise CheckpointError(
            f"These are the weights of a net with {arch}'s names that is wider or grouped (Wide ResNet, ResNeXt).",
            got=f"layer1.0.conv1.weight {list(first.shape)}, conv2 {list(getattr(second, 'shape', ()))}",
            expected=plain,
            fix="use a plain ResNet, or add the net (CONTRIBUTING.md, 'Add a net')",
        )


def _rest(state: Mapping[str, Tensor]) -> list[str]:
    """Names that are not a trunk's."""
    return sorted(k for k in state if not k.startswith(("conv1.", "bn1.", "layer")))[:4]


_KEYS = Keys(
    "ResNet",
    marks=("conv1.weight", FIRST),
    infer=infer_resnet,
    untold={"norm": NORMS_UNNAMED},
    look_alikes=frozenset({"resnetblur18", "resnetblur50", "resnetaa50"}),
)
# timm has torchvision's weights and others' (Gluon, semi- and weakly supervised) under names of their own
_PREFIXES, _SUFFIXES = ("", "tv_", "gluon_", "ssl_", "swsl_", "ig_"), ("", "_v1b")

NETS = tuple(
    Net(
        arch,
        partial(ResNet, arch),
        heads=("fc",),
        keys=_KEYS,
        aliases=frozenset(f"{before}{arch}{after}" for before in _PREFIXES for after in _SUFFIXES),
        reference=Reference("torchvision", arch, only={"norm": "batch", "width": 1.0}),
    )
    for arch in LAYOUTS
)
