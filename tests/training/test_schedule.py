from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from edgekit import nets
from edgekit.config.recipe import Schedule
from edgekit.errors import UsageError
from edgekit.spec import ModelSpec, PreprocessSpec
from edgekit.training.loop.schedule import RatePlan, freeze, make_optimizer, require_parts, set_rates


def schedule(**values: object) -> Schedule:
    return Schedule.model_validate(values)


def resnet(norm: str = "batch") -> nn.Module:
    return nets.build(ModelSpec("resnet18", ("a", "b"), PreprocessSpec(), {"norm": norm}))


def test_warm_up_rises_evenly_and_cosine_falls_to_nearly_nothing() -> None:
    plan = RatePlan(epoch_steps=10, epochs=10, warmup=1)
    factors = [plan.factor(step, trunk=False) for step in range(100)]
    assert factors[:10] == pytest.approx([i / 11 for i in range(1, 11)])
    assert factors[10] == 1.0
    assert factors[10 + 45] == pytest.approx(0.5)
    assert factors[10 + 30] == pytest.approx(0.5 * (1 + math.cos(math.pi / 3)))
    assert 0 < factors[99] < 1e-3
    assert all(a >= b for a, b in pairwise(factors[10:]))


def test_the_trunk_has_its_own_curve_after_it_thawed() -> None:
    plan = RatePlan(epoch_steps=5, epochs=6, frozen_epochs=2, warmup=1)
    assert [plan.factor(s, trunk=True) for s in range(10)] == [0.0] * 10
    assert plan.factor(10, trunk=True) == pytest.approx(1 / 6)
    assert plan.factor(15, trunk=True) == 1.0
    assert plan.factor(5, trunk=False) == 1.0


def test_without_cosine_it_stays_and_a_warm_up_longer_than_the_training_ends_in_time() -> None:
    assert RatePlan(5, 4, cosine=False).factor(19, trunk=False) == 1.0
    short = RatePlan(2, 2, warmup=9)
    assert [short.factor(s, trunk=False) for s in range(4)] == pytest.approx([0.25, 0.5, 0.75, 1.0])


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_norms_and_biases_are_not_decayed(norm: str) -> None:
    net = resnet(norm)
    optimizer = make_optimizer(net, schedule(weight_decay=0.1, lr_head=0.01, lr_trunk=0.001), ("fc",))
    found = {id(p): (g["weight_decay"], g["base_lr"]) for g in optimizer.param_groups for p in g["params"]}
    assert len(found) == len(list(net.parameters()))
    convolutions = {f"{n}.weight" for n, m in net.named_modules() if isinstance(m, (nn.Conv2d, nn.Linear))}
    for name, parameter in net.named_parameters():
        expected = (0.1 if name in convolutions else 0.0, 0.01 if name.startswith("fc.") else 0.001)
        assert found[id(parameter)] == expected, name


def test_sgd_and_rates() -> None:
    net = resnet()
    optimizer = make_optimizer(net, schedule(optimizer="sgd", lr_head=0.1, lr_trunk=0.01), ("fc",))
    assert isinstance(optimizer, torch.optim.SGD)
    plan = RatePlan(4, 4, frozen_epochs=1, warmup=0)
    assert set_rates(optimizer, plan, 0) == (0.1, 0.0)
    head, trunk = set_rates(optimizer, plan, 4)
    assert trunk == pytest.approx(0.01)
    assert {g["lr"] for g in optimizer.param_groups if g["trunk"]} == {trunk}
    assert 0 < head < 0.1


def test_a_frozen_trunk_gets_no_gradient_and_its_batchnorms_stand_still() -> None:
    net = resnet()
    freeze(net, schedule(), ("fc",), trunk=True)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    net(torch.randn(4, 3, 32, 32)).sum().backward()
    assert {n for n, p in net.named_parameters() if p.grad is not None} == {"fc.weight", "fc.bias"}
    assert all(torch.equal(v, net.state_dict()[k]) for k, v in before.items())
    freeze(net, schedule(), ("fc",), trunk=False)
    net(torch.randn(4, 3, 32, 32)).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    assert not torch.equal(before["bn1.running_mean"], net.state_dict()["bn1.running_mean"])


def test_parts_that_never_learn_and_fixed_statistics() -> None:
    net = resnet()
    options = schedule(frozen=["conv1", "bn1", "layer1"], norm_stats="fixed")
    require_parts(net, options.frozen)
    freeze(net, options, ("fc",), trunk=False)
    assert not net.layer1[0].conv1.weight.requires_grad
    assert net.layer2[0].conv1.weight.requires_grad
    assert not any(m.training for m in net.modules() if isinstance(m, nn.BatchNorm2d))
    learning = {id(p) for g in make_optimizer(net, options, ("fc",)).param_groups for p in g["params"]}
    assert learning == {id(p) for p in net.parameters() if p.requires_grad}


def test_wrong_parts_are_named() -> None:
    with pytest.raises(UsageError, match="layer9"):
        require_parts(resnet(), ("layer9",))
    everything = [name for name, _ in resnet().named_children()]
    with pytest.raises(UsageError, match="Nothing is left"):
        make_optimizer(resnet(), schedule(frozen=everything), ("fc",))
