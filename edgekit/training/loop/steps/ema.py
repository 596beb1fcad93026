"""The running mean of the weights, which generalizes better than the last ones (Polyak & Juditsky 1992)."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn


class Ema:
    """mean <- d * mean + (1 - d) * weights after every step, with d = min(decay, (1 + step) / (10 + step)).

    The warm-up of d (as in TensorFlow's ExponentialMovingAverage) keeps the first, bad weights from lasting. The
    running statistics of BatchNorm are averaged like weights; integers (counters) are copied. torch's `AveragedModel`
    would wait for a GPU twice a step, for a counter of its own.

    Args:
        net: what is followed; it is copied once.
        decay: 0 makes the mean equal to the weights.

    Attributes:
        net: the mean as a net, in evaluation mode; nothing in it requires a gradient.
        steps: how many states of the net the mean has taken in.
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.decay = decay
        self.net = copy.deepcopy(net).eval().requires_grad_(False)
        self.steps = 0

    def factor(self) -> float:
        """d of the next update."""
        return min(self.decay, (1 + self.steps) / (10 + self.steps)) if self.decay else 0.0

    @torch.no_grad()
    def update(self, net: nn.Module) -> None:
        """Takes one more state of `net` into the mean."""
        means, news = (_tensors(one) for one in (self.net, net))
        learnt = [i for i, mean in enumerate(means) if mean.is_floating_point()]
        counted = [i for i, mean in enumerate(means) if not mean.is_floating_point()]
        torch._foreach_lerp_([means[i] for i in learnt], [news[i] for i in learnt], 1.0 - self.factor())
        if counted:
            torch._foreach_copy_([means[i] for i in counted], [news[i] for i in counted])
        self.steps += 1

    def state_dict(self) -> dict[str, object]:
        """`steps` and the mean's `net`, a state dict; plain data and tensors."""
        return {"steps": self.steps, "net": self.net.state_dict()}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Inverse of `state_dict`."""
        steps, net = state["steps"], state["net"]
        assert isinstance(steps, int)
        assert isinstance(net, Mapping)
        self.steps = steps
        self.net.load_state_dict(net)


def between(start: Mapping[str, Tensor], end: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """`end` with `share` of `start` (Wortsman et al. 2022, sec. 3, WiSE-FT); counters are those of `end`."""
    return {
        name: value.lerp(start[name].to(value), share) if value.is_floating_point() else value
        for name, value in end.items()
    }


def _tensors(net: nn.Module) -> list[Tensor]:
    return [tensor.detach() for tensor in (*net.parameters(), *net.buffers())]
