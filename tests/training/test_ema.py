from __future__ import annotations

import torch
from torch import nn

from edgekit.training.loop.steps.ema import Ema


def net() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))


def test_it_is_the_mean_that_the_formula_says() -> None:
    torch.manual_seed(0)
    followed = net()
    ema = Ema(followed, 0.5)
    expected = {k: v.clone().double() for k, v in followed.state_dict().items()}
    for step in range(6):
        with torch.no_grad():
            for value in followed.state_dict().values():
                value.add_(torch.randn(value.shape) if value.is_floating_point() else 1)
        d = min(0.5, (1 + step) / (10 + step))
        now = followed.state_dict()
        expected = {k: d * v + (1 - d) * now[k] for k, v in expected.items()}
        ema.update(followed)
    for name, value in ema.net.state_dict().items():
        if value.is_floating_point():  # the running statistics of the BatchNorm are among them
            torch.testing.assert_close(value.double(), expected[name], rtol=1e-5, atol=1e-6)
    assert int(ema.net.state_dict()["1.num_batches_tracked"]) == int(followed[1].num_batches_tracked)


def test_decay_zero_is_the_weights_themselves() -> None:
    followed = net()
    ema = Ema(followed, 0.0)
    with torch.no_grad():
        followed[0].weight.fill_(3.25)
    ema.update(followed)
    assert all(torch.equal(a, b) for a, b in zip(ema.net.parameters(), followed.parameters(), strict=True))


def test_it_learns_nothing_itself_and_survives_a_round_trip() -> None:
    followed = net()
    ema = Ema(followed, 0.9)
    ema.update(followed)
    assert not ema.net.training
    assert not any(p.requires_grad for p in ema.net.parameters())
    other = Ema(net(), 0.9)
    other.load_state_dict(ema.state_dict())
    assert other.steps == 1
    assert other.factor() == ema.factor()
    assert all(torch.equal(a, b) for a, b in zip(ema.net.parameters(), other.net.parameters(), strict=True))


def test_the_mean_is_bit_for_bit_what_runs_written_before_have() -> None:
    """So a run that was begun with an earlier edgekit goes on as it would have."""
    torch.manual_seed(0)
    followed = net()
    ema = Ema(followed, 0.5)
    state = ema.state_dict()
    assert state.keys() == {"steps", "net"}
    mean = {k: v.clone() for k, v in followed.state_dict().items()}
    for step in range(12):
        with torch.no_grad():
            for value in followed.state_dict().values():
                value.add_(torch.randn(value.shape) if value.is_floating_point() else 1)
        weight = 1.0 - min(0.5, (1 + step) / (10 + step))
        for name, value in followed.state_dict().items():
            if value.is_floating_point():
                mean[name].lerp_(value, weight)
            else:
                mean[name].copy_(value)
        ema.update(followed)
        if step == 6:  # resumed
            resumed = Ema(net(), 0.5)
            resumed.load_state_dict({"steps": 7, "net": {k: v.clone() for k, v in mean.items()}})
            ema = resumed
    assert ema.steps == 12
    assert all(torch.equal(value, mean[name]) for name, value in ema.net.state_dict().items())
