"""The running mean of the weights, which generalizes better than the last ones (Polyak & Juditsky 1992)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


class Ema:
    """mean <- d * mean + (1 - d) * weights after every step, with d = min(decay, (1 + step) / (10 + step)).

    The warm-up of d (as in TensorFlow's ExponentialMovingAverage) keeps the first, bad weights from lasting. The
    running statistics of BatchNorm are averaged like weights; integers (counters) are copied. torch's `AveragedModel`
    keeps the copy, with this rule in the place of its own, which has no warm-up and would average counters too.

    Args:
        net: what is followed; it is copied once.
        decay: 0 makes the mean equal to the weights.
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.decay = decay
        self._averaged = AveragedModel(net, multi_avg_fn=self._mix, use_buffers=True).eval().requires_grad_(False)
        self.steps = 0

    @property
    def net(self) -> nn.Module:
        """The mean as a net, in evaluation mode; nothing in it requires a gradient."""
        return self._averaged.module

    @property
    def steps(self) -> int:
        """How many states of the net the mean has taken in."""
        return int(self._averaged.n_averaged) - 1

    @steps.setter
    def steps(self, steps: int) -> None:
        # the weights at the start are the first of the mean; at 0 torch would put the next in their place
        self._averaged.n_averaged.fill_(steps + 1)

    def factor(self) -> float:
        """d of the next update."""
        return min(self.decay, (1 + self.steps) / (10 + self.steps)) if self.decay else 0.0

    @torch.no_grad()
    def update(self, net: nn.Module) -> None:
        """Takes one more state of `net` into the mean."""
        self._averaged.update_parameters(net)

    def _mix(self, means: Sequence[Tensor], news: Sequence[Tensor], _: Tensor | int) -> None:
        """Tensors of one type on one device, in place."""
        if means[0].is_floating_point():
            torch._foreach_lerp_(list(means), list(news), 1.0 - self.factor())
        else:
            torch._foreach_copy_(list(means), list(news))

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
