"""Which modules are known by what their forward() does: layers that take a norm in, and norms that can go.

A subclass may compute anything under the name of its parent, as timm's BatchNormAct2d does, a BatchNorm with dropout
and activation inside. So what counts is whose forward() it runs; one that is not listed is left as it is.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrize import is_parametrized

CONVS: tuple[type[nn.Module], ...] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED: tuple[type[nn.Module], ...] = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
FOLDABLE = (*CONVS, *TRANSPOSED, nn.Linear)

SAME = "timm.layers.conv2d_same.Conv2dSame"  # pads with zeros itself, by the size of what it gets
LAYERS = frozenset({
    *(f"torch.nn.modules.conv.{kind.__name__}" for kind in (*CONVS, *TRANSPOSED)),
    "torch.nn.modules.linear.Linear", "timm.layers.linear.Linear", SAME,
})  # fmt: skip
PLAIN = frozenset({
    "torch.nn.modules.batchnorm._BatchNorm", "torch.nn.modules.batchnorm.SyncBatchNorm",
    "torchvision.ops.misc.FrozenBatchNorm2d",
})  # fmt: skip
WITH_ACTIVATION = frozenset({
    f"timm.layers.norm_act.{name}" for name in ("BatchNormAct2d", "SyncBatchNormAct", "FrozenBatchNormAct2d")
})  # fmt: skip


@dataclass(frozen=True)
class Affine:
    """What a BatchNorm with constant statistics does to channel c: x -> scale (x - mean) + beta, all float64 [C]."""

    mean: Tensor
    scale: Tensor
    beta: Tensor


def forward_of(module: nn.Module) -> str:
    """`package.module.Class` whose forward() a module runs; empty where the module has one of its own."""
    forward = type(module).forward
    name = f"{getattr(forward, '__module__', '')}.{getattr(forward, '__qualname__', '').rpartition('.')[0]}"
    return "" if "forward" in vars(module) else name


def is_layer(module: nn.Module) -> bool:
    """A convolution (also transposed) or a linear layer that is nothing but that.

    One whose weight is computed from others each time, by a hook or a parametrization, is more.
    """
    computed = module._forward_pre_hooks or module._forward_hooks or is_parametrized(module)
    return isinstance(module, FOLDABLE) and forward_of(module) in LAYERS and not computed


def is_norm(module: nn.Module) -> bool:
    """A BatchNorm of any kind, known or not; one with frozen statistics is no subclass of torch's."""
    return isinstance(module, _BatchNorm) or forward_of(module) in PLAIN | WITH_ACTIVATION


def is_known(norm: nn.Module) -> bool:
    """Whether `rest_of` says all that a norm does beside its `affine_of`."""
    return forward_of(norm) in PLAIN | WITH_ACTIVATION


def affine_of(norm: nn.Module) -> Affine:
    """The constants of a norm in evaluation (Ioffe & Szegedy 2015, algorithm 2, steps 10-11)."""
    mean, var = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
    std = torch.sqrt(var.double() + cast(float, norm.eps))  # eps is inside the root, so var = 0 is fine
    gamma = norm.weight.detach().double() if isinstance(norm.weight, Tensor) else torch.ones_like(std)
    beta = norm.bias.detach().double() if isinstance(norm.bias, Tensor) else torch.zeros_like(std)
    return Affine(mean.double(), gamma / std, beta)


class DropAndAct(nn.Module):
    """What is left of a norm with dropout and activation inside, under the same paths."""

    def __init__(self, drop: nn.Module, act: nn.Module) -> None:
        super().__init__()
        self.drop, self.act = drop, act

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.act(self.drop(x))
        return result


def rest_of(norm: nn.Module) -> nn.Module:
    """A module that computes what a known norm does after its `affine_of`: an Identity, or dropout and activation."""
    if forward_of(norm) in PLAIN:
        return nn.Identity()
    parts = [copy.deepcopy(getattr(norm, name, nn.Identity())) for name in ("drop", "act")]
    return DropAndAct(*parts).train(norm.training)


def is_affine(norm: nn.Module) -> bool:
    """Whether a known norm does nothing after its `affine_of`."""
    return all(isinstance(part, nn.Identity) for part in rest_of(norm).modules() if not isinstance(part, DropAndAct))
