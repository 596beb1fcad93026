"""Folding is exact to the rounding of what is stored, says the truth about itself, and refuses what it would break."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from edgekit.errors import FoldError
from edgekit.graph.fold_bn import FoldReport, fold_bn, folded_layer
from edgekit.nets.resnet import ResNet

NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
CONVS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
HALF_ULP = 2.0**-24
SUBNORMAL = 1e-38  # below the smallest normal float32 the rounding is absolute


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Layers of a few numbers: waking other threads takes ten times as long as computing."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def shaken(norm: nn.Module, seed: int = 0, hard: bool = False) -> nn.Module:
    """Random statistics; `hard` mixes in dead channels, tiny and zero gammas and huge means."""
    rng = np.random.default_rng(seed)
    n = int(norm.num_features)  # type: ignore[call-overload]
    mean, var = rng.normal(size=n), rng.uniform(0.2, 3, n)
    gamma, beta = rng.normal(size=n), rng.normal(size=n)
    if hard:
        var[rng.random(n) < 0.3] = 0
        var[rng.random(n) < 0.2] = 1e-30
        gamma[rng.random(n) < 0.2] = 0
        gamma[rng.random(n) < 0.2] = 1e-20
        mean[rng.random(n) < 0.2] *= 1e5
    with torch.no_grad():
        norm.running_mean.copy_(torch.from_numpy(mean))  # type: ignore[operator, union-attr]
        norm.running_var.copy_(torch.from_numpy(var))  # type: ignore[operator, union-attr]
        if isinstance(norm.weight, Tensor):
            norm.weight.copy_(torch.from_numpy(gamma))
            norm.bias.copy_(torch.from_numpy(beta))  # type: ignore[operator, union-attr]
    return norm


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


# --- what stays


class Net(nn.Module):
    """Modules by name and what to do with them."""

    def __init__(self, forward: Callable[[Any, Tensor], Tensor], **modules: nn.Module) -> None:
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self._forward = forward

    def forward(self, x: Tensor) -> Tensor:
        return self._forward(self, x)


def conv(c_in: int = 3, c_out: int = 3) -> nn.Conv2d:
    return nn.Conv2d(c_in, c_out, 1)


def norm2(n: int = 3, seed: int = 0) -> nn.Module:
    return shaken(nn.BatchNorm2d(n), seed)


IMAGE = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    "other",
    [
        nn.GroupNorm(1, 3),
        nn.GroupNorm(3, 3),
        nn.InstanceNorm2d(3, affine=True),
        nn.InstanceNorm2d(3, track_running_stats=True),
        nn.LayerNorm([3, 4, 4]),
        nn.LocalResponseNorm(2),
        nn.Identity(),
    ],
    ids=lambda m: type(m).__name__,
)
def test_other_norms_are_left_alone(other: nn.Module) -> None:
    net = nn.Sequential(conv(), other, conv(), norm2()).eval()
    folded, report = fold_bn(net, IMAGE)
    assert [(f.layer, f.norm) for f in report.layers] == [("2", "3")]
    assert report.left == ()
    assert type(folded[1]) is type(other)  # type: ignore[index]
    assert torch.equal(folded[0].weight, net[0].weight)  # type: ignore[index, union-attr]
    torch.testing.assert_close(folded(IMAGE), net(IMAGE))


class Doubled(nn.Conv2d):
    """A convolution by its class, and twice one by its forward()."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * 2


class Shifted(nn.BatchNorm2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 1


def patched() -> nn.Module:
    norm = norm2()
    norm.forward = lambda x: x * 3  # type: ignore[method-assign]
    return norm


LEFT: dict[str, tuple[nn.Module, Tensor, tuple[str, ...]]] = {
    "before a convolution that pads with zeros": (nn.Sequential(norm2(), nn.Conv2d(3, 3, 3, padding=1)), IMAGE, ("0",)),
    "before a transposed convolution": (nn.Sequential(norm2(), nn.ConvTranspose2d(3, 3, 2)), IMAGE, ("0",)),
    "before an activation": (nn.Sequential(norm2(), nn.ReLU(), conv()), IMAGE, ("0",)),
    "before two convolutions": (
        Net(lambda m, x: m.a(y := m.n(x)) + m.b(y), n=norm2(), a=conv(), b=conv()),
        IMAGE,
        ("n",),
    ),
    "before a convolution that is used twice": (Net(lambda m, x: m.a(m.a(m.n(x))), n=norm2(), a=conv()), IMAGE, ("n",)),
    "before a convolution, over what is written to meanwhile": (
        Net(lambda m, x: m.a((m.n(z := x * 2), z.relu_())[0]), n=norm2(), a=conv()),
        IMAGE,
        ("n",),
    ),
    "after a ReLU": (nn.Sequential(conv(), nn.ReLU(), norm2()), IMAGE, ("2",)),
    "after a pool": (nn.Sequential(conv(), nn.MaxPool2d(2), norm2()), IMAGE, ("2",)),
    "after another norm": (nn.Sequential(conv(), norm2(), norm2(3, 1)), IMAGE, ("2",)),
    "after an operation in place": (Net(lambda m, x: m.n(m.a(x).mul_(2)), a=conv(), n=norm2()), IMAGE, ("n",)),
    "after a convolution that is more than one": (nn.Sequential(Doubled(3, 3, 1), norm2()), IMAGE, ("1",)),
    "a norm of another kind": (nn.Sequential(conv(), Shifted(3)), IMAGE, ("1",)),
    "a norm with a forward() of its own": (nn.Sequential(conv(), patched()), IMAGE, ("1",)),
    "after an Add": (Net(lambda m, x: m.n(m.a(x) + m.b(x)), a=conv(), b=conv(), n=norm2()), IMAGE, ("n",)),
    "after a view": (
        Net(lambda m, x: m.n(m.a(x).flatten(1)), a=conv(), n=shaken(nn.BatchNorm1d(48))),
        IMAGE,
        ("n",),
    ),
    "after a convolution whose output the net gives too": (
        Net(lambda m, x: (y := m.a(x), m.n(y)), a=conv(), n=norm2()),
        IMAGE,
        ("n",),
    ),
    "before a convolution, the net gives it too": (
        Net(lambda m, x: (y := m.n(x.relu()), m.a(y)), a=conv(), n=norm2()),
        IMAGE,
        ("n",),
    ),
    "after an embedding": (
        Net(lambda m, x: m.n(m.e(x)), e=nn.Embedding(5, 3), n=shaken(nn.BatchNorm1d(3))),
        torch.tensor([1, 4, 0]),
        ("n",),
    ),
    "after a linear layer of sequences": (
        nn.Sequential(nn.Linear(6, 4), shaken(nn.BatchNorm1d(5))),
        torch.randn(2, 5, 6),
        ("1",),
    ),
    "after a linear layer of sequences, as many steps as outputs": (
        nn.Sequential(nn.Linear(6, 5), shaken(nn.BatchNorm1d(5))),
        torch.randn(2, 5, 6),
        ("1",),
    ),
    "after a convolution without a batch axis": (
        nn.Sequential(nn.Conv1d(2, 4, 1), shaken(nn.BatchNorm1d(4))),
        torch.randn(2, 4),
        ("1",),
    ),
}


@pytest.mark.parametrize("name", LEFT)
def test_a_norm_that_follows_no_foldable_layer_is_left_and_reported(name: str) -> None:
    net, x, left = LEFT[name]
    folded, report = fold_bn(net.eval(), x)
    assert report.left == left
    assert isinstance(folded.get_submodule(left[0]), nn.modules.batchnorm._BatchNorm)
    with torch.no_grad():
        torch.testing.assert_close(folded(x), net(x), rtol=1e-4, atol=1e-5)


def test_keywords_are_read_too() -> None:
    net = Net(lambda m, x: m.n(input=m.a(input=x)), a=conv(), n=norm2()).eval()
    folded, report = fold_bn(net, IMAGE)
    assert [f.layer for f in report.layers] == ["a"]
    torch.testing.assert_close(folded(IMAGE), net(IMAGE))


def test_two_layers_that_share_a_weight_are_folded_apart() -> None:
    net = nn.Sequential(conv(), norm2(3, 1), conv(), norm2(3, 2)).eval()
    net[2].weight = net[0].weight
    folded, report = fold_bn(net, IMAGE)
    assert len(report.layers) == 2
    torch.testing.assert_close(folded(IMAGE), net(IMAGE))


class Trunk(nn.Module):
    """What no symbolic tracer follows: a length, a list that is unpacked, an assertion on a shape."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.n, self.b, self.k, self.option = conv(3, 4), norm2(4), conv(4, 4), norm2(4, 1), None

    def forward(self, x: Tensor) -> Tensor:
        count, channels, *_ = x.shape
        assert channels == 3
        y = self.n(self.a(x)).relu_()
        y = y if self.option is None else self.option(y)
        return self.k(self.b(y)) * len(y) + count


def test_a_net_that_cannot_be_traced_symbolically_is_folded() -> None:
    net = Trunk().eval()
    with pytest.raises(Exception, match=r"len|iterat|[Pp]roxy|unpack"):
        torch.fx.symbolic_trace(net)
    folded, report = fold_bn(net, IMAGE)
    assert [(f.layer, f.norm) for f in report.layers] == [("a", "n"), ("b", "k")]
    torch.testing.assert_close(folded(IMAGE), net(IMAGE))


AHEAD: dict[str, tuple[nn.Module, Tensor]] = {
    "a convolution": (nn.Sequential(norm2(), conv(3, 5)), IMAGE),
    "in groups, without bias": (
        nn.Sequential(norm2(4), nn.Conv2d(4, 6, 2, groups=2, bias=False)),
        torch.randn(2, 4, 5, 5),
    ),
    "depthwise": (nn.Sequential(norm2(4), nn.Conv2d(4, 8, 3, groups=4, stride=2)), torch.randn(2, 4, 5, 5)),
    "reflections": (nn.Sequential(norm2(), nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect")), IMAGE),
    "a linear layer": (nn.Sequential(shaken(nn.BatchNorm1d(6)), nn.Dropout(), nn.Linear(6, 2)), torch.randn(3, 6)),
    "between two norms": (nn.Sequential(norm2(), conv(3, 5), norm2(5, 1)), IMAGE),
}


@pytest.mark.parametrize("name", AHEAD)
def test_a_norm_folds_into_the_layer_behind_it(name: str) -> None:
    net, x = AHEAD[name]
    folded, report = fold_bn(net.eval(), x)
    assert (report.layers[0].norm, report.layers[0].ahead, report.left) == ("0", True, ())
    assert isinstance(folded[0], nn.Identity)  # type: ignore[index]
    with torch.no_grad():
        want, got = net(x), folded(x)
    assert (got - want).abs().max() <= 1e-5 * want.abs().max()
    for entry in report.layers:
        assert entry.peak == float(want.abs().max())
        assert entry.max_abs == float((got.double() - want.double()).abs().max())


VIEWS: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "flattened, as LeViT does": lambda m, x: m.n(m.a(x).flatten(0, 1)).reshape(2, 5, 4),
    "transposed": lambda m, x: m.n(m.a(x).transpose(1, 2)),
}


@pytest.mark.parametrize("name", VIEWS)
def test_a_norm_folds_through_views_where_channels_stay_channels(name: str) -> None:
    net = Net(VIEWS[name], a=nn.Linear(6, 4), n=shaken(nn.BatchNorm1d(4))).eval()
    x = torch.randn(2, 5, 6)
    folded, report = fold_bn(net, x)
    assert [(f.layer, f.norm) for f in report.layers] == [("a", "n")]
    assert report.layers[0].max_abs <= 1e-5 * report.layers[0].peak
    torch.testing.assert_close(folded(x), net(x), rtol=1e-5, atol=1e-5)


def frozen(norm: Any, seed: int = 0) -> Any:
    norm.num_features = len(norm.weight)
    return shaken(norm, seed)


def kinds() -> dict[str, nn.Module]:
    layers = pytest.importorskip("timm.layers")
    ops = pytest.importorskip("torchvision.ops")
    return {
        "timm's with activation": shaken(layers.BatchNormAct2d(4, act_layer=nn.SiLU, drop_layer=nn.Dropout2d)),
        "timm's with activation in place": shaken(layers.BatchNormAct2d(4, act_layer=nn.ReLU, inplace=True)),
        "timm's without": shaken(layers.BatchNormAct2d(4, apply_act=False)),
        "timm's, frozen": frozen(layers.FrozenBatchNormAct2d(4, act_layer=nn.Hardswish)),
        "torchvision's, frozen": frozen(ops.FrozenBatchNorm2d(4)),
    }


@pytest.mark.parametrize("name", kinds())
def test_of_a_norm_with_an_activation_the_activation_stays(name: str) -> None:
    norm = kinds()[name]
    net = nn.Sequential(conv(3, 4), norm, conv(4, 2)).eval()
    folded, report = fold_bn(net, IMAGE)
    assert [(f.layer, f.norm, f.channels) for f in report.layers] == [("0", "1", 4)]
    assert not any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in folded.modules())
    with torch.no_grad():
        want, got = net(IMAGE), folded(IMAGE)
    assert (got - want).abs().max() <= 1e-5 * want.abs().max()
    act = getattr(norm, "act", None)
    assert type(getattr(folded[1], "act", None)) is type(act)  # type: ignore[index]
    with torch.no_grad():
        other = nn.Sequential(folded[0], nn.Identity(), folded[2])(IMAGE)  # type: ignore[index]
    assert torch.equal(other, got) is (act is None or isinstance(act, nn.Identity)), "the activation matters here"


def test_a_norm_with_an_activation_does_not_fold_into_the_layer_behind_it() -> None:
    norm = kinds()["timm's with activation"]
    assert fold_bn(nn.Sequential(nn.ReLU(), norm, conv(4, 2)).eval(), torch.randn(2, 4, 5, 5))[1].left == ("1",)


def test_a_norm_of_an_unknown_kind_is_named() -> None:
    _, report = fold_bn(nn.Sequential(conv(), Shifted(3)).eval(), IMAGE)
    assert report.notes == ("1 is a Shifted, of which it is not known what it does beside normalizing",)


def test_a_module_with_two_names_that_runs_once_is_replaced_under_both() -> None:
    net = Net(lambda m, x: m.n(m.b(x)), b=(c := conv()), a=c, n=norm2()).eval()
    folded, report = fold_bn(net, IMAGE)
    assert len(report.layers) == 1
    torch.testing.assert_close(folded(IMAGE), net(IMAGE))
    assert folded.a is folded.b


READ_ELSEWHERE: dict[str, Callable[[], nn.Module]] = {
    "the output is used twice": lambda: Net(lambda m, x: m.n(y := m.a(x)) + y, a=conv(), n=norm2()),
    "two norms read it": lambda: Net(lambda m, x: m.n(y := m.a(x)) + m.k(y), a=conv(), n=norm2(), k=norm2(3, 1)),
    "the output is an output of the net": lambda: Net(
        lambda m, x: torch.cat((m.n(y := m.a(x)), y), 1), a=conv(), n=norm2()
    ),
}


@pytest.mark.parametrize("name", READ_ELSEWHERE)
def test_a_norm_is_left_where_others_read_its_layer_too(name: str) -> None:
    net = READ_ELSEWHERE[name]().eval()
    folded, report = fold_bn(net, IMAGE)
    assert not report.layers
    assert "n" in report.left
    assert torch.equal(folded(IMAGE), net(IMAGE))


# --- refusals


def training() -> nn.Module:
    return nn.Sequential(conv(), norm2())


def one_in_training() -> nn.Module:
    net = training().eval()
    net[1].train()  # type: ignore[index]
    return net


def without_statistics() -> nn.Module:
    return nn.Sequential(conv(), nn.BatchNorm2d(3, track_running_stats=False)).eval()


SHARED = {"a": conv(), "n": norm2()}
REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "training mode": (training, "training mode"),
    "a norm in training mode": (one_in_training, "^1 is in training mode"),
    "no running statistics": (without_statistics, "no running statistics"),
    "the layer is called twice": (lambda: Net(lambda m, x: m.n(m.a(m.a(x))), a=conv(), n=norm2()), "^a is used 2"),
    "the layer has two names": (
        lambda: Net(lambda m, x: m.n(m.a(x)) + m.b(x), b=(c := conv()), a=c, n=norm2()),
        "is used 2",
    ),
    "the norm is called twice": (
        lambda: Net(lambda m, x: m.n(m.a(x)) + m.n(m.b(x)), a=conv(), b=conv(), n=norm2()),
        "^n is used 2",
    ),
    "the weight is read by itself": (
        lambda: Net(lambda m, x: m.n(m.a(x)) + m.a.weight.sum(), a=conv(), n=norm2()),
        "^a is used 2",
    ),
    "float64": (lambda: training().double(), "not float32"),
    "float16": (lambda: training().half(), "not float32"),
    "bfloat16 in one layer": (lambda: nn.Sequential(conv(), norm2(), conv().bfloat16()), "^2.weight is not float32"),
    "a branch on values": (
        lambda: Net(lambda m, x: m.n(m.a(x)) if x.sum() > 0 else x, a=conv(), n=norm2()),
        "decides by the values",
    ),
    "a branch on equal values": (
        lambda: Net(lambda m, x: m.n(m.a(x)) if torch.equal(m.a(x), x) else x, a=conv(), n=norm2()),
        "decides by the values",
    ),
    "a range": (
        lambda: Net(lambda m, x: sum(m.n(m.a(x)) for _ in range(x.shape[0])), a=conv(), n=norm2()),  # type: ignore[arg-type, return-value]
        "^a is used 2",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_break_is_refused(name: str) -> None:
    make, message = REFUSED[name]
    net = make()
    if "training" not in name:
        net.eval()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    with pytest.raises(FoldError, match=message):
        fold_bn(net, IMAGE)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
