"""Convolutions that compute their weight anew each time become plain ones with that weight.

Weight standardization does so (Qiao et al. 2019; Brock et al. 2021, "Characterizing signal propagation", section 4.1),
and the parametrizations of `torch.nn.utils`. The weight depends on parameters alone, so one run in float64 shows it.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

from edgekit.graph.fold.kinds import CONVS, is_layer
from edgekit.graph.fold.record import memory, record
from edgekit.graph.fold.swap import Swap

PADDED = frozenset({"StdConv2dSame", "ScaledStdConv2dSame"})  # timm's, which pad as its Conv2dSame does


def plain(net: nn.Module) -> dict[str, Swap]:
    """Such convolutions by path, and the plain ones that they become."""
    found: dict[str, Swap] = {}
    for path, module in net.named_modules():
        if isinstance(module, CONVS) and not is_layer(module):
            new = _plain(module)
            if new is not None:
                found[path] = Swap(new, "weight, computed once")
    return found


def _plain(module: Any) -> nn.Module | None:
    """A convolution without more to it; None where what `module` computes has another form."""
    wide = copy.deepcopy(module).double()
    side = [max(8, 2 * (size - 1) * step + 1) for size, step in zip(module.kernel_size, module.dilation, strict=True)]
    run = record(wide, torch.ones(1, module.in_channels, *side, dtype=torch.float64))
    convolved = [op for op in run.operations if op.function is torch.ops.aten.convolution.default]
    if len(convolved) != 1 or len(run.results) != 1 or memory(convolved[0].outputs[0]) != memory(run.results[0]):
        return None
    data, weight, *bias = convolved[0].inputs
    if any(memory(tensor) in run.depends for tensor in (weight, *bias)) or weight.shape != module.weight.shape:
        return None
    pads = memory(data) != memory(run.given[0])
    if pads and type(module).__name__ not in PADDED:
        return None
    new = _made(module, pads)
    new.weight = nn.Parameter(weight.float(), requires_grad=False)
    new.bias = nn.Parameter(bias[0].float(), requires_grad=False) if bias else None
    done: nn.Module = new.eval()
    return done


def _made(module: Any, pads: bool) -> Any:
    """A convolution of the same form; with timm's padding to the size of what it gets, if `pads`."""
    form = {name: getattr(module, name) for name in ("stride", "padding", "dilation", "groups")}
    size = (module.in_channels, module.out_channels, module.kernel_size)
    if pads:
        from timm.layers.conv2d_same import Conv2dSame  # `module` is timm's too

        return Conv2dSame(*size, **form)
    kind: Any = next(kind for kind in CONVS if isinstance(module, kind))
    return kind(*size, padding_mode=module.padding_mode, **form)
