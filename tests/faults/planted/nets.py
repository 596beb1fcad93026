"""Defects of the fold and of the net itself."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import edgekit.graph.fold_bn as fold_module
from edgekit.nets import blocks
from edgekit.nets.blocks import BasicBlock
from tests.faults.planted.defect import Patch

# -- the fold -----------------------------------------------------------------------------------------------------


def fold_with(change: Callable[[nn.Module, Any], tuple[nn.Module, Any]]) -> Callable[[Patch], None]:
    """Changes the layer or the norm before they are folded."""
    honest = fold_module.folded_layer

    def seed(patch: Patch) -> None:
        patch.setattr(fold_module, "folded_layer", lambda layer, norm: honest(*change(layer, copy.deepcopy(norm))))

    return seed


def other_eps(layer: nn.Module, norm: Any) -> tuple[nn.Module, Any]:
    norm.eps = 1e-3
    return layer, norm


def std_for_var(layer: nn.Module, norm: Any) -> tuple[nn.Module, Any]:
    norm.running_var.sqrt_()
    return layer, norm


def no_mean(layer: nn.Module, norm: Any) -> tuple[nn.Module, Any]:
    norm.running_mean.zero_()
    return layer, norm


def spoil_folded(path: str, change: Callable[[nn.Module], None]) -> Callable[[Patch], None]:
    """Changes one module of the folded net."""
    honest = fold_module.fold_bn

    def fold_bn(net: nn.Module, example: Tensor) -> tuple[nn.Module, Any]:
        folded, report = honest(net, example)
        with torch.no_grad():
            change(folded.get_submodule(path))
        return folded, report

    return lambda patch: patch.setattr(fold_module, "fold_bn", fold_bn)


def flip_gamma(module: Any) -> None:
    """What one gamma of the other sign does to a folded layer with beta = 0: its filter and bias change sign."""
    module.weight[3] *= -1
    module.bias[3] *= -1


def bias_before_scale(patch: Patch) -> None:
    honest = fold_module.folded_layer

    def folded_layer(layer: nn.Module, norm: Any) -> nn.Module:
        new = honest(layer, norm)
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        new.bias = nn.Parameter(((norm.bias - norm.running_mean) * scale).detach())
        return new

    patch.setattr(fold_module, "folded_layer", folded_layer)


def nan_in_one_channel(module: Any) -> None:
    module.weight[2] = float("nan")


def transpose_weights(module: Any) -> None:
    module.weight.copy_(module.weight.transpose(2, 3).clone())


class NoSkip(BasicBlock):
    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))))


def drop_skip(block: nn.Module) -> None:
    block.__class__ = NoSkip


# -- the net itself -----------------------------------------------------------------------------------------------


def no_skip_anywhere(patch: Patch) -> None:
    patch.setattr(BasicBlock, "forward", NoSkip.forward)


def net_with_other_eps(patch: Patch) -> None:
    patch.setitem(blocks.NORMS, "batch", lambda channels: nn.BatchNorm2d(channels, eps=1e-3))
