"""Defects in the kinds of layers that other libraries' nets have, one at a time: the gate's stages `net` and `fold`
catch each, on small nets of timm and torchvision that pass undamaged.

`net` compares with the library's own net, which is built anew and shares nothing with the damaged one; `fold` compares
what folding gives, so there the damage is done as if folding had done it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

import edgekit.checkpoints.reference as reference_module
import edgekit.graph.fold_bn as fold_module
from edgekit import nets
from edgekit.checkpoints.checkpoint import Checkpoint
from edgekit.config.target import Limits, load_target
from edgekit.data import made_pictures
from edgekit.gate.compare import Gate
from edgekit.pipeline import folding
from edgekit.spec import ModelSpec, PreprocessSpec
from tests.conftest import CLASSES

Damage = Callable[[nn.Module], None]
Patch = pytest.MonkeyPatch
FOLDED = ("timm:test_vit", "timm:test_efficientnet")  # the others stand for what folding gave: it takes seconds
PICTURES = made_pictures(3, seed=6)
TARGET = load_target("x86-cpu")


@dataclass(frozen=True, eq=False)
class Honest:
    """A net whose every layer matters, the library's own with its weights, and the honestly folded one."""

    checkpoint: Checkpoint
    net: nn.Module
    reference: nn.Module | None
    folded: nn.Module
    report: Any


@cache
def honest(arch: str) -> Honest:
    side = 160 if "vit" in arch else 96
    spec = ModelSpec(arch, CLASSES, PreprocessSpec(side, side, shorter_side=round(side / 0.875)))
    torch.manual_seed(0)
    net = nets.build(spec)
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias, 0, 0.2)
            if type(module).__name__ == "LayerScale":
                nn.init.uniform_(module.gamma, 0.5, 1.5)  # 1e-5 before any training
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0, 1.2 / math.sqrt(module.in_features))
        net.train()(torch.randn(4, 3, side, side))
        net.eval()
        for head in nets.find(arch).heads:
            net.get_submodule(head).weight.mul_(4)  # type: ignore[union-attr, operator]
    loaded = Checkpoint(spec, net.state_dict(), source="state dict", named_by="--arch")
    folded, report = copy.deepcopy(net), fold_module.FoldReport((), ())
    if arch in FOLDED:
        folded, report = fold_module.fold_bn(net, torch.randn(2, 3, side, side))
    return Honest(loaded, net, reference_module.reference_net(loaded), folded, report)


def stages(
    arch: str, patch: Patch, *, net: Damage | None = None, fold: Damage | None = None, limits: Any = None
) -> Gate:
    """The gate behind preprocess, net and fold, of which one may be damaged."""
    good = honest(arch)
    whole, after = copy.deepcopy(good.net), copy.deepcopy(good.folded)
    with torch.no_grad():
        for damage, module in ((net, whole), (fold, after)):
            if damage is not None:
                damage(module)
    patch.setattr(reference_module, "reference_net", lambda loaded: good.reference)
    patch.setattr(fold_module, "fold_bn", lambda given, example: (after, good.report))
    gate = Gate(PICTURES, limits or TARGET.limits("fp32"), good.checkpoint.spec, lambda line: None)
    folding.fold_stages(good.checkpoint, whole, gate)
    return gate


# -- the defects --------------------------------------------------------------------------------------------------


def each(kind: str, change: Callable[[Any], object]) -> Damage:
    """Changes every module of a class, by its name."""

    def damage(net: nn.Module) -> None:
        found = [module for module in net.modules() if type(module).__name__ == kind]
        assert found, kind
        for module in found:
            change(module)

    return damage


def instead(kind: str, other: Callable[[Any], nn.Module]) -> Damage:
    """Puts another module in the place of every one of a class."""

    def damage(net: nn.Module) -> None:
        found = [path for path, module in net.named_modules() if type(module).__name__ == kind]
        assert found, kind
        for path in found:
            net.set_submodule(path, other(net.get_submodule(path)))

    return damage


def heads_swapped(attention: Any) -> None:
    size = attention.head_dim
    for part in (
        attention.qkv.weight,
        attention.qkv.bias,
    ):  # of the queries alone: with keys and values nothing changes
        part[: 2 * size] = torch.cat([part[size : 2 * size], part[:size]])


def bias_transposed(attention: Any) -> None:
    honest_bias = attention.rel_pos.get_bias
    attention.rel_pos.get_bias = lambda: honest_bias().transpose(-1, -2)


def group_off_by_one(net: nn.Module) -> None:
    found = [m for m in net.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
    assert found
    for module in found:
        module.weight.copy_(module.weight.roll(1, 0))


class HalfNorm(nn.Module):
    def __init__(self, norm: Any) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        parts = (x.half(), self.norm.normalized_shape, self.norm.weight.half(), self.norm.bias.half(), self.norm.eps)
        return nn.functional.layer_norm(*parts).float()


def symmetric(module: Any) -> None:
    sides = [k // 2 for k in module.kernel_size]
    module.forward = lambda x: nn.functional.conv2d(
        x, module.weight, module.bias, module.stride, sides, 1, module.groups
    )


def plain_weights(module: Any) -> None:
    module.forward = lambda x: nn.functional.conv2d(
        x, module.weight, module.bias, module.stride, module.padding, module.dilation, module.groups
    )


def branch_lost(block: Any) -> None:
    block.conv_1x1.bn.weight.zero_()
    block.conv_1x1.bn.bias.zero_()


@dataclass(frozen=True)
class Defect:
    name: str
    arch: str
    damage: Damage
    stages: tuple[str, ...] = ("net", "fold")  # what is fused or gone after folding can be damaged before it only


DEFECTS = (
    Defect("a LayerNorm's eps", "timm:test_vit", each("LayerNorm", lambda m: setattr(m, "eps", 1e-3))),
    Defect("attention heads swapped", "timm:test_vit", each("Attention", heads_swapped)),
    Defect("GELU by tanh instead of erf", "timm:test_vit", each("GELU", lambda m: setattr(m, "approximate", "tanh"))),
    Defect("LayerNorm in half precision", "timm:test_vit", instead("LayerNorm", HalfNorm)),
    Defect("a LayerScale left out", "timm:test_vit2", instead("LayerScale", lambda m: nn.Identity())),
    Defect("relative position bias transposed", "timm:test_vit_relpos", each("RelPosAttention", bias_transposed)),
    Defect("squeeze-excite without its sigmoid", "timm:test_efficientnet", instead("Sigmoid", lambda m: nn.Identity())),
    Defect("a depthwise group off by one", "timm:test_efficientnet", group_off_by_one),
    Defect("a norm's activation lost", "timm:test_efficientnet", instead("SiLU", lambda m: nn.Identity())),
    Defect("swish for hard-swish", "timm:mobilenetv3_small_050", instead("Hardswish", lambda m: nn.SiLU())),
    Defect("sigmoid for hard-sigmoid", "timm:mobilenetv3_small_050", instead("Hardsigmoid", lambda m: nn.Sigmoid())),
    Defect("SAME padding symmetric", "timm:tf_mobilenetv3_small_minimal_100", each("Conv2dSame", symmetric)),
    Defect("weight standardisation left out", "timm:test_nfnet", each("ScaledStdConv2d", plain_weights), ("net",)),
    Defect("a branch of RepVGG lost", "timm:repvgg_a0", each("RepVggBlock", branch_lost), ("net",)),
)  # fmt: skip
NETS = tuple(dict.fromkeys((*(defect.arch for defect in DEFECTS), "torchvision:shufflenet_v2_x0_5")))
CASES = [(defect, stage) for defect in DEFECTS for stage in defect.stages]


@pytest.mark.parametrize("arch", NETS)
def test_the_undamaged_net_passes(arch: str, monkeypatch: Patch) -> None:
    gate = stages(arch, monkeypatch)
    assert gate.passed, gate.stages
    assert [stage.name for stage in gate.stages] == ["preprocess", "net", "fold"]


@pytest.mark.parametrize(("defect", "stage"), CASES, ids=lambda v: v.name if isinstance(v, Defect) else v)
def test_a_damaged_layer_is_caught(defect: Defect, stage: str, monkeypatch: Patch) -> None:
    gate = stages(defect.arch, monkeypatch, **{stage: defect.damage})
    assert not gate.passed
    assert gate.stages[-1].name == stage
    assert gate.stages[-1].first_wrong is not None, "and where it begins is told"


def test_a_shuffle_left_out_is_caught(monkeypatch: Patch) -> None:
    """torchvision's is a function: left out in our net's run, and in the library's not."""
    home = torchvision.models.shufflenetv2
    shuffle = home.channel_shuffle

    def left_out(net: nn.Module) -> None:
        inner = net.forward

        def forward(x: Tensor) -> Tensor:
            monkeypatch.setattr(home, "channel_shuffle", lambda x, groups: x)
            given: Tensor = inner(x)
            monkeypatch.setattr(home, "channel_shuffle", shuffle)
            return given

        net.forward = forward  # type: ignore[method-assign]

    gate = stages("torchvision:shufflenet_v2_x0_5", monkeypatch, net=left_out)
    assert [stage.passed for stage in gate.stages] == [True, False]


def test_a_wrong_crop_is_caught(monkeypatch: Patch) -> None:
    """crop_pct 0.9 for 0.875: the shorter side of 160 pixels is 177, not 183."""
    read = folding.preprocess

    def other(frame: Any, spec: PreprocessSpec) -> Any:
        return read(frame, replace(spec, shorter_side=math.floor((spec.shorter_side or 0) * 0.875 / 0.9)))

    monkeypatch.setattr(folding, "preprocess", other)
    gate = stages("timm:test_vit", monkeypatch)
    assert [stage.name for stage in gate.stages] == ["preprocess"]
    assert not gate.passed


def test_one_scale_for_a_depthwise_weight_is_caught_within_int8(monkeypatch: Patch) -> None:
    """Channels of depthwise filters differ in size by far; a scale of each leaves eight bits to all of them."""
    arch = "timm:test_efficientnet"
    limits: Limits = TARGET.limits("int8").model_copy(update={"top1_agreement": 1.0, "max_abs": 1.0})

    def rounded(per_channel: bool) -> Damage:
        def damage(net: nn.Module) -> None:
            for module in net.modules():
                if isinstance(module, nn.Conv2d) and module.groups > 1:
                    size = module.weight.abs()
                    scale = (size.amax((1, 2, 3), keepdim=True) if per_channel else size.max()) / 127
                    module.weight.copy_((module.weight / scale).round() * scale)

        return damage

    def uneven(net: nn.Module) -> None:
        """The same net: each depthwise channel is larger, and the norm behind it takes that back."""
        modules = dict(net.named_modules())
        for path, module in modules.items():
            if isinstance(module, nn.Conv2d) and module.groups > 1:
                factor = torch.logspace(0, 3, module.out_channels)
                module.weight.mul_(factor.reshape(-1, 1, 1, 1))
                norm: Any = modules[path.replace("conv_dw", "bn1" if "0.0" in path else "bn2")]
                norm.running_mean.mul_(factor)
                norm.weight.mul_(
                    torch.sqrt((norm.running_var * factor**2 + norm.eps) / (norm.running_var + norm.eps)) / factor
                )
                norm.running_var.mul_(factor**2)

    def both(damage: Damage) -> Damage:
        return lambda net: (uneven(net), damage(net))[0]  # type: ignore[func-returns-value]

    assert stages(arch, monkeypatch, net=both(rounded(True)), limits=limits).stages[1].passed
    assert not stages(arch, monkeypatch, net=both(rounded(False)), limits=limits).stages[1].passed
