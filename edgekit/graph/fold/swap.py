"""Modules give way to others that compute the same, and each pair is measured on what really goes through the net."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from edgekit.errors import FoldError

EXACT = (
    1e-5  # of the peak, in float64 arithmetic: the rounding of what is stored, summed up over some thousand products
)


@dataclass(frozen=True)
class Swap:
    """What a module is replaced by, and what made that, such as `reparameterize()`."""

    new: nn.Module
    by: str


@dataclass(frozen=True)
class FusedBlock:
    """One replacement and its proof.

    Attributes:
        block: module path, e.g. `stages.0.1`.
        by: what made the new one.
        max_abs: max |block(u) - new(u)| over the example's real activations u, in float32.
        peak: max |block(u)|, to judge `max_abs` by.
    """

    block: str
    by: str
    max_abs: float
    peak: float


def swapped(net: nn.Module, example: Tensor, swaps: Mapping[str, Swap]) -> tuple[nn.Module, tuple[FusedBlock, ...]]:
    """A copy of `net` with other modules in the places of some, and what each of them was measured to change.

    Args:
        net: in evaluation mode, float32; is not changed.
        example: its input. What does not run on it stays, since nothing is known of it.
        swaps: module path -> what takes its place.

    Raises:
        FoldError: in float64 arithmetic a module and its replacement differ by more than 1e-5 of the peak.
    """
    modules = dict(net.named_modules())
    old = {path: copy.deepcopy(modules[path]) for path in swaps}  # without the hooks below
    given: dict[str, Any] = {}
    measured: dict[str, FusedBlock] = {}
    hooks = []
    for path, swap in swaps.items():

        def take(module: nn.Module, args: Any, kwargs: Any, path: str = path) -> None:
            given[path] = copy.deepcopy((args, kwargs))  # the module may write to its input

        def measure(module: nn.Module, _: Any, output: Tensor, path: str = path, swap: Swap = swap) -> None:
            one = _measured(path, old[path], swap, given.pop(path), output)
            measured[path] = max(one, measured.get(path, one), key=lambda block: block.max_abs)

        hooks += [
            modules[path].register_forward_pre_hook(take, with_kwargs=True),
            modules[path].register_forward_hook(measure),
        ]
    try:
        with torch.no_grad():
            if swaps:
                net(example)
    finally:
        for hook in hooks:
            hook.remove()
    changed = {modules[path]: swaps[path].new for path in measured}
    return replaced(net, changed), tuple(measured[path] for path in swaps if path in measured)


def replaced(net: nn.Module, replacements: Mapping[nn.Module, nn.Module]) -> nn.Module:
    """A copy of `net` with others in the places of some modules, under all the names that these have."""
    new = copy.deepcopy(net)
    for path, module in net.named_modules(remove_duplicate=False):
        if module in replacements:
            new.set_submodule(path, replacements[module])
    return new


def _measured(path: str, old: nn.Module, swap: Swap, given: Any, output: Tensor) -> FusedBlock:
    args, kwargs = given

    def exactly(module: nn.Module) -> Tensor:
        wide = [value.double() if isinstance(value, Tensor) else value for value in args]
        result: Tensor = copy.deepcopy(module).double()(*wide, **kwargs)
        return result

    exact = exactly(old)
    far, peak = float((exactly(swap.new) - exact).abs().max()), float(exact.abs().max())
    if not far <= EXACT * peak:  # a NaN fails too
        raise FoldError(
            f"{path} computes something else after its {swap.by}.",
            got=f"max|d| {far:.3g} of {peak:.3g}, in float64 arithmetic",
            expected=f"at most {EXACT:g} of the peak",
            fix=f"look at {type(old).__module__}.{type(old).__name__}: one of its two forms is wrong",
        )
    want = output.clone()
    got = copy.deepcopy(swap.new)(*args, **kwargs)
    return FusedBlock(path, swap.by, float((got.double() - want.double()).abs().max()), float(want.abs().max()))
