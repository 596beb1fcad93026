"""Magnitude-preserving layers: one in, one out; filters of length one; and plain convolutions once they are folded."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from edgekit import nets
from edgekit.data import hive_pictures
from edgekit.graph.fold_bn import fold_bn
from edgekit.nets.magnitude import MPBlock, MPConv, MPUNet, mp_cat, mp_silu, mp_sum, pixel_norm, unit_rows
from edgekit.spec import PreprocessSpec
from edgekit.vision.preprocess import normalise


def magnitude(x: Tensor) -> float:
    return float(x.detach().square().mean().sqrt())


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def made(classes: int = 5, width: float = 0.5) -> MPUNet:
    net = nets.find("unet-mp").build(classes, width=width)
    assert isinstance(net, MPUNet)
    return net.eval()


def magnitudes(net: MPUNet, x: Tensor) -> dict[str, float]:
    """Of what each convolution and block gives, and each of the small functions between them."""
    found: dict[str, float] = {}
    layers = [(n, m) for n, m in net.named_modules() if isinstance(m, (MPConv, MPBlock)) and n != "stem"]
    hooks = [m.register_forward_hook(lambda _, __, y, n=n: found.__setitem__(n, magnitude(y))) for n, m in layers]
    with torch.inference_mode():
        net(x)
    for hook in hooks:
        hook.remove()
    return found


def test_each_operation_gives_one_where_it_gets_one() -> None:
    a, b = torch.randn(4, 24, 64, 64), torch.randn(4, 72, 64, 64)
    assert magnitude(MPConv(24, 64, 1)(a)) == pytest.approx(1, abs=0.02)
    assert magnitude(MPConv(24, 64, 3)(a)[..., 1:-1, 1:-1]) == pytest.approx(1, abs=0.02)
    assert magnitude(mp_silu(a)) == pytest.approx(1, abs=0.01)
    assert magnitude(mp_sum(a, torch.randn_like(a))) == pytest.approx(1, abs=0.01)
    assert magnitude(pixel_norm(7 * a)) == pytest.approx(1, abs=1e-3)
    both = mp_cat(a, b)
    assert magnitude(both) == pytest.approx(1, abs=0.01)
    halves = [both[:, :24].square().sum(), both[:, 24:].square().sum()]
    assert float(halves[0] / halves[1]) == pytest.approx(1, abs=0.02), "each side has its share whatever its channels"


def mean_magnitudes(seeds: int, height: int, width: int, factor: float) -> dict[str, float]:
    """Of `magnitudes` of new nets on one picture, the mean over their seeds."""
    frame = hive_pictures(1, 3, height, width).samples[0].read()
    x = torch.from_numpy(normalise(frame[None], PreprocessSpec(height, width, "stretch", None)))
    rows = []
    for seed in range(seeds):
        torch.manual_seed(seed)
        rows.append(magnitudes(made(width=factor), x))
    return {name: sum(row[name] for row in rows) / seeds for name in rows[0]}


def test_the_blocks_of_new_nets_keep_their_magnitude() -> None:
    """In expectation over weights: a narrow layer of one net alone may be a quarter off."""
    mean = mean_magnitudes(4, 128, 192, 0.25)
    blocks = {name: value for name, value in mean.items() if name.count(".") == 1}
    assert len(blocks) == 9
    assert {name: value for name, value in blocks.items() if not 0.8 <= value <= 1.2} == {}


@pytest.mark.slow
def test_every_layer_of_new_nets_keeps_its_magnitude() -> None:
    """A picture's border, where convolutions see zeros, takes some percent off the branches of small maps."""
    mean = mean_magnitudes(8, 384, 640, 1.0)
    assert len(mean) == 35
    branches = {name: value for name, value in mean.items() if name.endswith("conv2")}
    rest = {name: value for name, value in mean.items() if name not in branches}
    assert {name: value for name, value in rest.items() if not 0.9 <= value <= 1.1} == {}
    assert {name: value for name, value in branches.items() if not 0.85 <= value <= 1.15} == {}


def test_a_normed_net_keeps_its_blocks_whatever_was_learnt() -> None:
    """Filters that lie along what they get double a plain net's magnitudes; a pixel norm takes that out."""
    x = torch.randn(1, 3, 64, 64)
    worst = {}
    for normed in (False, True):
        net = nets.find("unet-mp").build(3, width=0.25, normed=normed).eval()
        with torch.no_grad():
            for module in net.modules():
                if isinstance(module, MPConv):
                    module.weight.add_(1.0)  # a mean of 1: far from what a new net has
        blocks = {n: v for n, v in magnitudes(net, x).items() if n.count(".") == 1}
        worst[normed] = max(abs(math.log(v)) for v in blocks.values())
    assert worst[False] > math.log(1.1)
    assert worst[True] < math.log(1.01)


def test_filters_have_length_one_and_stay_so_in_training() -> None:
    conv = MPConv(8, 6, 3)
    with torch.no_grad():
        conv.weight.mul_(torch.rand(6, 1, 1, 1) * 9 + 1)
    x = torch.randn(2, 8, 5, 5)
    before = conv.eval()(x)
    conv.train()
    torch.testing.assert_close(conv(x), before, rtol=1e-3, atol=1e-3)
    lengths = conv.weight.flatten(1).norm(dim=1)
    torch.testing.assert_close(lengths, torch.full((6,), math.sqrt(72)), rtol=1e-3, atol=0)
    torch.testing.assert_close(unit_rows(conv.weight).flatten(1).norm(dim=1), torch.ones(6), rtol=1e-3, atol=0)
    conv(x).square().sum().backward()
    assert conv.weight.grad is not None
    along = (conv.weight.grad * conv.weight.detach()).flatten(1).sum(1) / conv.weight.grad.flatten(1).norm(dim=1)
    assert float(along.abs().max()) < 0.05, "the gradient has no part along the weight"


def test_it_folds_to_plain_convolutions_exactly() -> None:
    net, x = made(width=0.25), torch.randn(1, 3, 32, 32)
    folded, report = fold_bn(net, x)
    convolutions = [m for m in folded.modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 27
    assert {type(m) for m in convolutions} == {nn.Conv2d}
    with torch.inference_mode():
        want, got = net(x), folded(x)
    assert float((got - want).abs().max() / want.abs().max()) < 1e-5
    assert len(report.fused) == 27
    assert max(one.max_abs / one.peak for one in report.fused) < 1e-5, "each is measured on its own activations"


def test_without_a_norm_of_its_own_another_picture_changes_nothing() -> None:
    net = made()
    x = torch.randn(3, 3, 64, 64)
    torch.testing.assert_close(net(x)[1:2], net(x[1:2]), rtol=1e-4, atol=1e-5)


def test_nothing_has_a_bias() -> None:
    names = [name for name, _ in made().named_parameters()]
    assert [name for name in names if not name.endswith("weight")] == ["gain.factor"]
