"""Folding is exact to the rounding of what is stored, and says the truth about itself."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from edgekit.graph.fold_bn import FoldReport, fold_bn, folded_layer
from edgekit.nets.resnet import ResNet
from tests.graph.norms import shaken

pytestmark = pytest.mark.usefixtures("one_thread")
NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
CONVS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
HALF_ULP = 2.0**-24
SUBNORMAL = 1e-38  # below the smallest normal float32 the rounding is absolute


@st.composite
def pairs(draw: st.DrawFn) -> tuple[nn.Module, Tensor]:
    """A convolution (any dimension, direction, groups, ...) or a linear layer, its norm, and an input."""
    kind = draw(st.sampled_from(["conv", "transposed", "linear"]))
    torch.manual_seed(draw(st.integers(0, 999)))
    bias, n = draw(st.booleans()), draw(st.integers(1, 3))
    groups, c_in, c_out = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    dim = draw(st.integers(1, 3))
    if kind == "linear":
        dim = 1
        layer: nn.Module = nn.Linear(c_in, c_out, bias=bias)
        x = torch.randn(n, c_in)
    else:
        kernel, dilation, stride = draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(st.integers(1, 3))
        padding = draw(st.integers(0, 1))
        more: dict[str, Any] = {}
        if kind == "transposed":
            more["output_padding"] = draw(st.integers(0, max(stride, dilation) - 1))
        else:
            more["padding_mode"] = draw(st.sampled_from(["zeros", "replicate"]))
        make = (CONVS if kind == "conv" else TRANSPOSED)[dim]
        layer = make(
            groups * c_in,
            groups * c_out,
            kernel,
            stride=stride,
            dilation=dilation,
            padding=padding,
            groups=groups,
            bias=bias,
            **more,
        )
        c_out *= groups
        side = max((kernel - 1) * dilation + 1, 1 + 2 * padding) + draw(st.integers(0, 2))
        x = torch.randn(n, groups * c_in, *[side] * dim)
    eps = draw(st.sampled_from([1e-3, 1e-5, 1e-8]))
    norm = NORMS[dim](c_out, eps=eps, affine=draw(st.booleans()))
    shaken(norm, draw(st.integers(0, 999)), draw(st.booleans()))
    return nn.Sequential(layer, norm).eval(), x


def absolute(layer: nn.Module, x: Tensor) -> Tensor:
    """sum |w| |x| + |b|: what rounding errors of the layer's weights are relative to, float64."""
    layer = copy.deepcopy(layer).double()
    with torch.no_grad():
        layer.weight.abs_()  # type: ignore[operator, union-attr]
        layer.bias.abs_()  # type: ignore[operator, union-attr]
        result: Tensor = layer(x.double().abs())
    return result


@settings(max_examples=200, deadline=None)
@given(pair=pairs())
def test_folding_changes_no_more_than_the_rounding_of_each_weight(pair: tuple[nn.Module, Tensor]) -> None:
    """Both nets run in float64, so all that is left is half a unit in the last place per stored weight."""
    net, x = pair
    folded, report = fold_bn(net, x)
    assert [(f.layer, f.norm) for f in report.layers] == [("0", "1")]
    assert isinstance(folded[1], nn.Identity)  # type: ignore[index]
    assert type(folded[0]) is type(net[0])  # type: ignore[index]
    assert all(p.dtype == torch.float32 for p in folded.parameters())
    with torch.no_grad():
        want = copy.deepcopy(net).double()(x.double())
        got = copy.deepcopy(folded).double()(x.double())
    allowed = absolute(folded[0], x)  # type: ignore[index]
    assert torch.isfinite(got).all()
    assert ((got - want).abs() <= 1.001 * HALF_ULP * allowed + SUBNORMAL).all()


@settings(max_examples=60, deadline=None)
@given(pair=pairs())
def test_in_float32_the_folded_layer_gives_what_the_two_gave(pair: tuple[nn.Module, Tensor]) -> None:
    net, x = pair
    with torch.no_grad():
        want = net(x)
        folded, report = fold_bn(net, x)
        got = folded(x)
    # the norm subtracts a mean that the folded bias contains: that, too, is rounded
    scale = absolute(folded[0], x).max()  # type: ignore[index]
    assert float((got.double() - want.double()).abs().max()) <= 2e-5 * float(scale) + SUBNORMAL
    assert report.layers[0].max_abs == float((got.double() - want.double()).abs().max())
    assert report.layers[0].peak == float(want.abs().max())
    assert report.layers[0].channels == want.shape[1]


def in_float32(layer: nn.Module, norm: Any) -> tuple[Tensor, Tensor]:
    """The fold as it is usually written, e.g. torch.nn.utils.fuse_conv_bn_eval."""
    fused = torch.nn.utils.fuse_conv_bn_eval(layer, norm)  # type: ignore[type-var]
    return fused.weight.detach(), fused.bias.detach()  # type: ignore[union-attr, operator]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 9999), hard=st.booleans())
def test_ours_is_at_least_as_near_to_the_exact_fold_as_one_in_float32(seed: int, hard: bool) -> None:
    torch.manual_seed(seed)
    layer, norm = nn.Conv2d(3, 8, 3).eval(), shaken(nn.BatchNorm2d(8).eval(), seed, hard)
    wide = [np.asarray(t.detach().numpy(), np.longdouble) for t in (norm.running_var, norm.running_mean)]  # type: ignore[union-attr, operator]
    var, mean = wide
    gamma, beta = (np.asarray(t.detach().numpy(), np.longdouble) for t in (norm.weight, norm.bias))  # type: ignore[union-attr, operator]
    scale = gamma / np.sqrt(var + np.longdouble(norm.eps))  # type: ignore[arg-type]
    weight = layer.weight.detach().numpy() * scale[:, None, None, None]
    bias = (layer.bias.detach().numpy() - mean) * scale + beta  # type: ignore[union-attr]
    ours = folded_layer(layer, norm)  # type: ignore[arg-type]
    theirs = in_float32(layer, norm)
    for exact, a, b in zip((weight, bias), (ours.weight, ours.bias), theirs, strict=True):
        own = np.abs(a.detach().numpy() - exact)  # type: ignore[union-attr, operator]
        other = np.abs(b.numpy() - exact)
        assert (own <= other * (1 + 1e-9) + 1e-45).all()
        assert (own <= np.abs(exact) * HALF_ULP * (1 + 1e-6) + SUBNORMAL).all()


def test_the_test_above_can_fail() -> None:
    """A float32 fold does lose digits on the very same weights."""
    torch.manual_seed(0)
    layer, norm = nn.Conv2d(3, 64, 3).eval(), shaken(nn.BatchNorm2d(64).eval())
    ours, theirs = folded_layer(layer, norm), in_float32(layer, norm)  # type: ignore[arg-type]
    assert (ours.weight != theirs[0]).any()  # type: ignore[union-attr]


def test_dead_channels_and_tiny_gammas_by_hand() -> None:
    layer, norm = nn.Conv2d(1, 4, 1, bias=False), nn.BatchNorm2d(4, eps=1e-5)
    with torch.no_grad():
        layer.weight.fill_(1)
        norm.running_var.copy_(torch.tensor([0.0, 1.0, 1.0, 0.0]))  # type: ignore[union-attr]
        norm.running_mean.copy_(torch.tensor([0.0, 2.0, 3.0, 1e6]))  # type: ignore[union-attr]
        norm.weight.copy_(torch.tensor([1.0, 1e-20, 0.0, 1.0]))
        norm.bias.copy_(torch.tensor([0.5, 0.25, 7.0, 0.0]))
    folded, _ = fold_bn(nn.Sequential(layer, norm).eval(), torch.zeros(1, 1, 1, 1))
    weight, bias = folded[0].weight.flatten(), folded[0].bias  # type: ignore[index]
    steep = 1 / np.sqrt(1e-5)
    torch.testing.assert_close(weight, torch.tensor([steep, 1e-20, 0, steep]).float(), rtol=1e-5, atol=0)
    torch.testing.assert_close(bias, torch.tensor([0.5, 0.25, 7.0, -1e6 * steep]).float(), rtol=1e-6, atol=0)
    assert weight[1] > 0


@pytest.fixture(scope="module")
def resnet() -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    net = ResNet("resnet18", 3)
    for i, norm in enumerate(m for m in net.modules() if isinstance(m, nn.BatchNorm2d)):
        shaken(norm, i)
        norm.weight.data.mul_(0.5)
    return net.eval(), torch.randn(2, 3, 40, 40)


def test_a_whole_resnet_loses_its_norms_and_nothing_else(resnet: tuple[nn.Module, Tensor]) -> None:
    net, x = resnet
    before = {k: v.clone() for k, v in net.state_dict().items()}
    folded, report = fold_bn(net, x)
    with torch.no_grad():
        want, got = net(x), folded(x)
    assert (want - got).abs().max() <= 1e-5 * want.abs().max()
    assert len(report.layers) == 20
    assert report.left == ()
    assert not [m for m in folded.modules() if isinstance(m, nn.BatchNorm2d)]
    assert type(folded) is ResNet
    assert [n for n, _ in folded.named_modules()] == [n for n, _ in net.named_modules()]
    # the net that was given is not changed
    assert net.state_dict().keys() == before.keys()
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    # and the copy shares nothing with it
    mine = {p.data_ptr() for p in net.parameters()}
    assert not mine & {p.data_ptr() for p in folded.parameters()}
    again, second = fold_bn(folded, x)
    assert second == FoldReport((), ())
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in folded.state_dict().items())


def test_the_report_is_true_layer_by_layer(resnet: tuple[nn.Module, Tensor]) -> None:
    """Recomputed by hand on the activations of the net that was given."""
    net, x = resnet
    into: dict[str, Tensor] = {}
    hooks = [
        module.register_forward_pre_hook(lambda _, args, name=name: into.update({name: args[0].clone()}))
        for name, module in net.named_modules()
    ]
    with torch.no_grad():
        net(x)
        for hook in hooks:
            hook.remove()
        _, report = fold_bn(net, x)
        for entry in report.layers:
            layer, norm = net.get_submodule(entry.layer), net.get_submodule(entry.norm)
            want = norm(layer(into[entry.layer]))
            got = folded_layer(layer, norm)(into[entry.layer])  # type: ignore[arg-type]
            assert entry.max_abs == float((got.double() - want.double()).abs().max())
            assert entry.peak == float(want.abs().max())
            assert entry.channels == want.shape[1]
            assert 0 < entry.max_abs <= 1e-5 * entry.peak
