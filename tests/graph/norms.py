"""Norms with statistics of their own, and small nets to fold them in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


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
