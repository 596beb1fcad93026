"""Blocks of several branches become one convolution, computed weights become constants, and both are measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgekit.errors import FoldError
from edgekit.graph.fold_bn import fold_bn
from tests.graph.norms import shaken

pytestmark = pytest.mark.usefixtures("one_thread")

timm = pytest.importorskip("timm")

SIDE = 32


def blocks() -> dict[str, Callable[[], nn.Module]]:
    from timm.models.byobnet import LayerFn, MobileOneBlock, RepVggBlock
    from timm.models.fastvit import RepConditionalPosEnc, RepMixer
    from timm.models.repvit import RepVggDw

    return {
        "RepVGG": lambda: RepVggBlock(8, 8, layers=LayerFn()),
        "RepVGG, with a stride": lambda: RepVggBlock(8, 12, stride=2, layers=LayerFn()),
        "MobileOne, depthwise": lambda: MobileOneBlock(8, 8, group_size=1, num_conv_branches=3, layers=LayerFn()),
        "FastViT's mixer": lambda: RepMixer(8),
        "FastViT's positions": lambda: RepConditionalPosEnc(8),
        "RepViT": lambda: RepVggDw(8, 3),
        "RepViT, its first form": lambda: RepVggDw(8, 3, legacy=True),
    }


class Around(nn.Module):
    """A block between two convolutions, which fold nothing."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.before, self.block = nn.Conv2d(3, 8, 1), block

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.block(self.before(x))
        return result


def around(block: nn.Module) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    net = Around(block)
    for i, norm in enumerate(m for m in net.modules() if isinstance(m, nn.BatchNorm2d)):
        shaken(norm, i)
    return net.eval(), torch.randn(2, 3, 9, 9)


@pytest.mark.parametrize("name", blocks())
def test_a_block_of_branches_becomes_one_convolution(name: str) -> None:
    net, x = around(blocks()[name]())
    before = {key: value.clone() for key, value in net.state_dict().items()}
    folded, report = fold_bn(net, x)
    assert [one.block for one in report.fused] == ["block"]
    assert not [m for m in folded.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert sum(isinstance(m, nn.Conv2d) for m in folded.modules()) == 2
    with torch.no_grad():
        want, got = net(x), folded(x)
    assert 0 < (got - want).abs().max() <= 2e-6 * want.abs().max()
    assert report.fused[0].max_abs == float((got.double() - want.double()).abs().max())
    assert report.fused[0].peak == float(want.abs().max())
    assert all(p.dtype == torch.float32 for p in folded.parameters())
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items()), "the net is not changed"


class Wrong(nn.Module):
    """A block whose fused form has another eps than its branches, as a port of one library to another had."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.norm = shaken(nn.BatchNorm2d(8, eps=1e-3))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.norm(self.a(x) + self.b(x))
        return result

    def reparameterize(self) -> None:
        norm: Any = self.norm
        scale = norm.weight / (norm.running_var + 1e-5).sqrt()
        self.a.weight = nn.Parameter((self.a.weight + self.b.weight) * scale.reshape(-1, 1, 1, 1))
        self.a.bias = nn.Parameter(norm.bias - norm.running_mean * scale)
        self.norm, self.b = nn.Identity(), nn.Conv2d(8, 8, 1)
        nn.init.zeros_(self.b.weight)
        nn.init.zeros_(self.b.bias)  # type: ignore[arg-type]
        self.b.add_module("gone", nn.Identity())


def test_a_block_that_fuses_wrongly_is_named() -> None:
    net, x = around(Wrong())
    with pytest.raises(FoldError, match=r"^block computes something else after its reparameterize") as caught:
        fold_bn(net, x)
    assert "Wrong" in str(caught.value.fix)


class Refuses(Wrong):
    def reparameterize(self) -> None:
        raise NotImplementedError


def test_a_block_that_cannot_fuse_stays() -> None:
    net, x = around(Refuses())
    folded, report = fold_bn(net, x)
    assert (report.fused, report.left) == ((), ("block.norm",))
    torch.testing.assert_close(folded(x), net(x))


def standardized() -> dict[str, Callable[[], nn.Module]]:
    from timm.layers import ScaledStdConv2d, ScaledStdConv2dSame, StdConv2d, StdConv2dSame

    return {
        "StdConv2d": lambda: StdConv2d(8, 6, 3, stride=2, groups=2),
        "StdConv2dSame": lambda: StdConv2dSame(8, 6, 3, stride=2, bias=True),
        "ScaledStdConv2d": lambda: ScaledStdConv2d(8, 6, 3, gamma=1.7),
        "ScaledStdConv2dSame": lambda: ScaledStdConv2dSame(8, 6, 3, stride=2),
        "weight_norm": lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(8, 6, 3)),
        "spectral_norm": lambda: nn.utils.parametrizations.spectral_norm(nn.Conv2d(8, 6, 3, dilation=2)),
    }


@pytest.mark.parametrize("name", standardized())
def test_a_weight_that_is_computed_each_time_becomes_a_constant(name: str) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 1), standardized()[name](), shaken(nn.BatchNorm2d(6))).eval()
    x = torch.randn(2, 3, 9, 9)
    folded, report = fold_bn(net, x)
    assert [(one.block, one.by) for one in report.fused] == [("1", "weight, computed once")]
    assert [(one.layer, one.norm) for one in report.layers] == [("1", "2")], "and a norm behind it folds"
    assert type(folded[1]).__name__ == ("Conv2dSame" if name.endswith("Same") else "Conv2d")  # type: ignore[index]
    with torch.no_grad():
        want, got = net(x), folded(x)
    assert (got - want).abs().max() <= 1e-5 * want.abs().max()
    assert report.fused[0].max_abs <= 1e-5 * report.fused[0].peak


class Dynamic(nn.Conv2d):
    """Its weight depends on what it gets."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.weight * x.mean().sigmoid(), self.bias)


class Padded(nn.Conv2d):
    """Pads by a rule of its own."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(functional.pad(x, [0, x.shape[-1] % 3, 0, 1]), self.weight, self.bias)


@pytest.mark.parametrize("kind", [Dynamic, Padded])
def test_a_convolution_that_is_more_stays(kind: type[nn.Conv2d]) -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 1), kind(8, 6, 3)).eval()
    x = torch.randn(2, 3, 9, 9)
    folded, report = fold_bn(net, x)
    assert report.fused == ()
    assert type(folded[1]) is kind  # type: ignore[index]
    assert torch.equal(folded(x), net(x))
