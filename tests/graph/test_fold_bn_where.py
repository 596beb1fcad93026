"""Which norms are folded and into which layer, and which are left and reported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from edgekit.graph.fold_bn import fold_bn
from tests.graph.norms import IMAGE, Net, conv, norm2, shaken

pytestmark = pytest.mark.usefixtures("one_thread")


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
