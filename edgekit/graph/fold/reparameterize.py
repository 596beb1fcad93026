"""Blocks with several branches in training and one convolution in use, as RepVGG, MobileOne or FastViT have them.

Such a block knows how to fuse itself (Ding et al. 2021, "RepVGG", section 3.3): each branch is linear, so their
kernels, padded to one size, add up. Here it does so in float64, and nothing is taken on trust: `swap` measures it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import nn

from edgekit.graph.fold.kinds import CONVS, TRANSPOSED
from edgekit.graph.fold.swap import Swap

METHODS = ("reparameterize", "switch_to_deploy", "fuse")  # what timm and the authors' own code call it


def fusible(net: nn.Module) -> dict[str, Swap]:
    """The blocks that can fuse themselves, the outermost ones, by path, and what they become.

    A convolution with its norm alone is none: folding does that and keeps the paths. Nor is one with linear layers, as
    two heads that become one: a classifier's last layer keeps its path too. Inside of a block that is fused there may
    be others, so call it again until it finds none.
    """
    return dict(_swaps(net))


def _swaps(net: nn.Module, prefix: str = "") -> Iterator[tuple[str, Swap]]:
    for name, child in net.named_children():
        swap = _fused(child) if _method(child) else None
        if swap is not None:
            yield prefix + name, swap
        else:
            yield from _swaps(child, f"{prefix}{name}.")


def _method(module: nn.Module) -> str:
    inside = list(module.modules())
    convolutions = sum(isinstance(part, (*CONVS, *TRANSPOSED)) for part in inside)
    if any(isinstance(part, nn.Linear) for part in inside):
        return ""
    found = next((name for name in METHODS if callable(getattr(module, name, None))), "")
    return "" if found == "fuse" and convolutions < 2 else found


def _fused(block: nn.Module) -> Swap | None:
    """What a block becomes; None where it stays as it is, or raises: it then knows that it cannot."""
    name = _method(block)
    wide = copy.deepcopy(block).double()
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # of the convolution that it makes
    try:
        with torch.no_grad():
            given = getattr(wide, name)()
    except (AttributeError, AssertionError, NotImplementedError, RuntimeError, TypeError, ValueError):
        return None
    finally:
        torch.set_default_dtype(default)
    new = given if isinstance(given, nn.Module) else wide
    new = new.float().eval().requires_grad_(False)
    before = [name for name, _ in block.named_modules()]
    return None if before == [name for name, _ in new.named_modules()] else Swap(new, f"{name}()")
