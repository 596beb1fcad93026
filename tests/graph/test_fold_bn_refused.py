"""What folding would break is refused: training mode, no statistics, weights that others share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from edgekit.errors import FoldError
from edgekit.graph.fold_bn import fold_bn
from tests.graph.norms import IMAGE, Net, conv, norm2

pytestmark = pytest.mark.usefixtures("one_thread")


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
