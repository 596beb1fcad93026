"""The running mean of the weights, which generalizes better than the last ones (Polyak & Juditsky 1992)."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn


class Ema:
    """mean <- d * mean + (1 - d) * weights after every step, with d = min(decay, (1 + step) / (10 + step)).

    The warm-up of d (as in TensorFlow's ExponentialMovingAverage) keeps the first, bad weights from lasting. The
    running statistics of BatchNorm are averaged like weights; integers (counters) are copied.

    Args:
        net: what is followed; it is copied once.
        decay: 0 makes the mean equal to the weights.
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self.net = copy.deepcopy(net).eval().requires_grad_(False)

    def factor(self) -> float:
        """d of the next update."""
        return min(self.decay, (1 + self.steps) / (10 + self.steps)) if self.decay else 0.0

    @torch.no_grad()
    def update(self, net: nn.Module) -> None:
        """Takes one more state of `net` into the mean."""
        weight = 1.0 - self.factor()
        self.steps += 1
        means: list[Tensor] = []
        news: list[Tensor] = []
        now = net.state_dict()
        for name, mean in self.net.state_dict().items():
            if mean.is_floating_point():
                means.append(mean)
                news.append(now[name].detach())
            else:
                mean.copy_(now[name])
        torch._foreach_lerp_(means, news, weight)

    def state_dict(self) -> dict[str, object]:
        return {"steps": self.steps, "net": self.net.state_dict()}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        steps, net = state["steps"], state["net"]
        assert isinstance(steps, int)
        assert isinstance(net, Mapping)
        self.steps = steps
        self.net.load_state_dict(net)
