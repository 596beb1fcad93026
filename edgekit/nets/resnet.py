"""ResNet-18/34/50/101/152 (He et al. 2015, table 1) with torchvision's key names.

A stem (7x7 stride 2, max-pool stride 2), four layers of residual blocks, a mean over H and W, one linear layer.
The first block of layers 2, 3 and 4 is a ResBlock B, all others of an 18 or 34 are ResBlocks A.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from edgekit.errors import CheckpointError, UsageError
from edgekit.nets.blocks import NORMS, BasicBlock, Bottleneck, Norm


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


class ResNet(nn.Module):
    """Picture to class scores: float32 [N, 3, H, W] (H, W >= 32), normalized -> logits float32 [N, classes].

    Args:
        arch: a key of `LAYOUTS`.
        classes: width of the last layer.
        norm: `batch` (foldable), `group`, `layer` (over C, H, W), `instance` or `none`. All sit under the key names
            `bn1`, `bn2`, ... of torchvision, so its and timm's plain ResNet state dicts load strictly.

    Raises:
        UsageError: unknown arch or norm.
    """

    head = "fc"

    def __init__(self, arch: str, classes: int, norm: Norm = "batch") -> None:
        super().__init__()
        if arch not in LAYOUTS:
            raise UsageError("Unknown net.", got=arch, expected="one of " + ", ".join(LAYOUTS))
        if norm not in NORMS:
            raise UsageError("Unknown norm.", got=norm, expected="one of " + ", ".join(NORMS))
        layout = LAYOUTS[arch]
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=norm == "none")
        self.bn1 = NORMS[norm](64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = self._layer(layout, 0, 64, norm)
        self.layer2 = self._layer(layout, 1, 64 * layout.block.expansion, norm)
        self.layer3 = self._layer(layout, 2, 128 * layout.block.expansion, norm)
        self.layer4 = self._layer(layout, 3, 256 * layout.block.expansion, norm)
        self.fc = nn.Linear(512 * layout.block.expansion, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # He et al. 2015, "Delving Deep into Rectifiers", eq. 10
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @staticmethod
    def _layer(layout: Layout, index: int, c_in: int, norm: Norm) -> nn.Sequential:
        width = 64 << index
        c_out = width * layout.block.expansion
        first = layout.block(c_in, width, 1 if index == 0 else 2, norm)
        rest = [layout.block(c_out, width, 1, norm) for _ in range(layout.blocks[index] - 1)]
        return nn.Sequential(first, *rest)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))  # [N, 64, H/4, W/4]
        x = self.layer1(x)
        x = self.layer2(x)
        x = self.layer3(x)
        x = self.layer4(x)  # [N, 512 or 2048, H/32, W/32]
        # a mean, not pool + flatten: with a dynamic batch a flatten exports as Shape and Reshape
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


def infer_resnet(state: Mapping[str, Tensor]) -> tuple[str, int, dict[str, Any]]:
    """Arch, number of classes and arch arguments of a plain ResNet state dict, from its keys and shapes.

    Raises:
        CheckpointError: not a ResNet of `LAYOUTS`, or its norm cannot be told from the keys: group, layer and
            instance norm have the same ones.
    """
    keys = set(state)
    counts = tuple(
        len({k.split(".")[1] for k in keys if k.startswith(f"layer{i}.") and k.endswith(".conv1.weight")})
        for i in (1, 2, 3, 4)
    )
    block = Bottleneck if any(k.endswith(".conv3.weight") for k in keys) else BasicBlock
    arch = next((a for a, known in LAYOUTS.items() if known.blocks == counts and known.block is block), None)
    head = state.get("fc.weight")
    if arch is None or head is None or head.ndim != 2 or "conv1.weight" not in keys:
        shown = ", ".join(sorted(keys)[:4])
        raise CheckpointError(
            "The state dict is not of a net that edgekit knows.",
            got=f"{len(keys)} keys ({shown}, ...), {block.__name__} blocks {counts}",
            expected="torchvision's key names of " + ", ".join(LAYOUTS),
            fix="save a plain ResNet's state_dict(), or add the net (CONTRIBUTING.md, 'Add a net')",
        )
    if "bn1.running_mean" in keys:
        norm = "batch"
    elif "bn1.weight" not in keys:
        norm = "none"
    else:
        raise CheckpointError(
            "The state dict does not say which normalization its net has.",
            got="bn1.weight without bn1.running_mean: group, layer and instance norm look the same",
            expected="batch norm, no norm, or an edgekit checkpoint, which says it",
            fix="name it: --norm group, --norm layer or --norm instance",
        )
    return arch, int(head.shape[0]), {"norm": norm}
