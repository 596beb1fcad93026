"""Folds what is constant in evaluation, above all BatchNorm into the layer before or behind it; proves it one by one.

In evaluation a BatchNorm is y = gamma (x - mean) / sqrt(var + eps) + beta with constants (Ioffe & Szegedy 2015,
algorithm 2, steps 10-11). With s = gamma / sqrt(var + eps) and x = W * u + b it vanishes into W' = s W and
b' = s (b - mean) + beta. Before a layer that pads with no zeros it vanishes into W' = W s along the inputs and
b' = b + W (beta - s mean). The arithmetic is float64, what is stored is float32.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvTransposeNd

from edgekit.errors import FoldError
from edgekit.graph.fold.channels import axis, same_channels
from edgekit.graph.fold.kinds import SAME, affine_of, forward_of, is_affine, is_known, is_layer, is_norm, rest_of
from edgekit.graph.fold.plain import plain
from edgekit.graph.fold.record import Call, Record, memory, record, tensors, uses
from edgekit.graph.fold.reparameterize import fusible
from edgekit.graph.fold.swap import FusedBlock, replaced, swapped


@dataclass(frozen=True)
class FoldedLayer:
    """One fold and its proof.

    Attributes:
        layer, norm: module paths, e.g. `layer1.0.conv1` and `layer1.0.bn1`.
        channels: of the norm.
        max_abs: max |norm(layer(u)) - folded(u)| over the example's real activations u.
        peak: max |norm(layer(u))|, to judge `max_abs` by.
        ahead: the norm stands before the layer; then the figures are of layer(norm(u)).
    """

    layer: str
    norm: str
    channels: int
    max_abs: float
    peak: float
    ahead: bool = False


@dataclass(frozen=True)
class FoldReport:
    """What was folded, and what was not.

    Attributes:
        layers: the norms that were folded, in the order in which they run.
        left: paths of the norms that stay: no layer is beside them that could take them in, or others see what is
            between.
        notes: norms among those that are of no known kind, a line each.
        fused: blocks of several branches that became one convolution, and convolutions that computed their weight.
    """

    layers: tuple[FoldedLayer, ...]
    left: tuple[str, ...]
    notes: tuple[str, ...] = ()
    fused: tuple[FusedBlock, ...] = ()

    @property
    def changed(self) -> frozenset[str]:
        """Paths of modules that give another tensor than before, though the net gives the same."""
        return frozenset(one.norm if one.ahead else one.layer for one in self.layers)


@dataclass(frozen=True)
class _Fold:
    """A norm's call and the call of the layer that takes it in."""

    layer: Call
    norm: Call
    ahead: bool


def fold_bn(net: nn.Module, example: Tensor) -> tuple[nn.Module, FoldReport]:
    """A copy of `net` without the BatchNorms beside a convolution or linear layer; `net` is not changed.

    Folds BatchNorm1d/2d/3d into Conv1d/2d/3d, ConvTranspose1d/2d/3d (any groups, dilation, stride, with or without
    bias) and Linear before them, else into a convolution without zero padding or a Linear behind them. timm's
    BatchNorm with activation and frozen ones count too. Other norms, a BatchNorm beside anything else, and one that is
    not the only reader of its layer stay as they are. `edgekit.graph.fold.kinds` lists what is known.

    Args:
        net: in evaluation mode, float32.
        example: an input of the net. One run on it shows which layer feeds which norm, and each fold is measured on
            its activations.

    Returns:
        The folded copy: same class, same module paths but inside of fused blocks, each folded norm an `nn.Identity` or
        what it did besides (its dropout and activation); and the report.

    Raises:
        FoldError: training mode, batch statistics instead of running ones, weights that are not float32, a layer or
            norm used more than once, a net that decides by the values of its input, or a block that computes something
            else once it is fused.
    """
    _refuse_training(net, dict(net.named_modules()))
    fused: list[FusedBlock] = []
    while swaps := {path: swap for path, swap in fusible(net).items() if path not in {one.block for one in fused}}:
        net, blocks = swapped(net, example, swaps)
        if not blocks:
            break
        fused += blocks
    net, convolutions = swapped(net, example, plain(net))
    modules: dict[str, nn.Module] = dict(net.named_modules())
    run = record(net, example[:2])
    if run.decided:
        raise FoldError(
            "The net cannot be traced: it decides by the values of its input, so one run does not show all it does.",
            expected="a forward() without branches on tensor values",
        )
    folds, left = _plan(run)
    for fold in folds:
        for call, what in ((fold.layer, "layer"), (fold.norm, "norm")):
            times = uses(run, call)
            if times > 1 and not fold.ahead:
                raise FoldError(
                    f"{call.path} is used {times} times: folding once would change the other uses.",
                    expected=f"each {what} used once",
                    fix="give each call its own module",
                )
    replacements: dict[nn.Module, nn.Module] = {}
    for fold in folds:
        layer = replacements.get(fold.layer.module, fold.layer.module)
        taken = (folded_ahead if fold.ahead else folded_layer)(layer, cast(_BatchNorm, fold.norm.module))
        replacements[fold.layer.module], replacements[fold.norm.module] = taken, rest_of(fold.norm.module)
    proofs = _proofs(net, example, folds, replacements)
    layers = (
        FoldedLayer(f.layer.path, f.norm.path, len(cast(Tensor, f.norm.module.running_var)), *proof, f.ahead)
        for f, proof in zip(folds, proofs, strict=True)
    )
    notes = tuple(
        f"{path} is a {type(modules[path]).__name__}, of which it is not known what it does beside normalizing"
        for path in left
        if not is_known(modules[path])
    )
    return replaced(net, replacements), FoldReport(tuple(layers), left, notes, (*fused, *convolutions))


def folded_layer(layer: nn.Module, norm: _BatchNorm) -> nn.Module:
    """A copy of `layer` that computes norm(layer(u)); see the module's text for the formula."""
    weight, bias, affine = layer.weight, layer.bias, affine_of(norm)
    assert isinstance(weight, Tensor)
    old = bias.detach().double() if isinstance(bias, Tensor) else torch.zeros_like(affine.mean)
    scaled = weight.detach().double() * _along_outputs(layer, weight, affine.scale)
    return _with(layer, scaled, (old - affine.mean) * affine.scale + affine.beta)


def folded_ahead(layer: nn.Module, norm: _BatchNorm) -> nn.Module:
    """A copy of `layer`, not a transposed convolution, that computes layer(norm(u)) where it pads with no zeros."""
    weight, bias, affine = layer.weight, layer.bias, affine_of(norm)
    assert isinstance(weight, Tensor)
    wide = weight.detach().double()  # [out, in / groups, ...]
    groups = cast(int, getattr(layer, "groups", 1))

    def along_inputs(values: Tensor) -> Tensor:
        rows = values.reshape(groups, 1, -1).expand(-1, wide.shape[0] // groups, -1).reshape(wide.shape[:2])
        return rows.reshape(*rows.shape, *[1] * (wide.ndim - 2))

    shift = affine.beta - affine.scale * affine.mean
    old = bias.detach().double() if isinstance(bias, Tensor) else torch.zeros_like(wide[:, 0].flatten(1)[:, 0])
    return _with(layer, wide * along_inputs(affine.scale), old + (wide * along_inputs(shift)).flatten(1).sum(1))


def _with(layer: nn.Module, weight: Tensor, bias: Tensor) -> nn.Module:
    new = copy.deepcopy(layer)
    new.weight, new.bias = nn.Parameter(weight.float()), nn.Parameter(bias.float())
    return new


def _along_outputs(layer: nn.Module, weight: Tensor, scale: Tensor) -> Tensor:
    """`scale` per output channel, shaped to multiply `weight`."""
    if not isinstance(layer, _ConvTransposeNd):  # [out, in / groups, ...]
        return scale.reshape(-1, *[1] * (weight.ndim - 1))
    # [in, out / groups, ...]: rows of group g make the outputs g * out/groups ...
    per_group = scale.reshape(layer.groups, 1, -1)
    rows = per_group.expand(-1, layer.in_channels // layer.groups, -1).reshape(layer.in_channels, -1)
    return rows.reshape(*rows.shape, *[1] * (weight.ndim - 2))


def _plan(run: Record) -> tuple[list[_Fold], tuple[str, ...]]:
    """What can be folded, in the order of the norms, and the paths of the norms that stay."""
    made_by: dict[int, Call] = {}
    read_by: dict[int, Call] = {}
    for call in run.calls:
        if is_layer(call.module) and len(call.inputs) == len(call.outputs) == 1:
            made_by[memory(call.outputs[0])] = read_by[memory(call.inputs[0])] = call
    folds: list[_Fold] = []
    left: dict[str, None] = {}
    for norm in run.calls:
        if not is_norm(norm.module):
            continue
        before = made_by.get(memory(norm.inputs[0])) if is_known(norm.module) else None
        behind = read_by.get(memory(norm.outputs[0])) if is_known(norm.module) else None
        if before is not None and _goes_back(run, before, norm):
            folds.append(_Fold(before, norm, ahead=False))
        elif behind is not None and _goes_on(run, norm, behind):
            folds.append(_Fold(behind, norm, ahead=True))
        else:
            left[norm.path] = None
    return folds, tuple(left)


def _goes_back(run: Record, layer: Call, norm: Call) -> bool:
    made, read = layer.outputs[0], norm.inputs[0]
    alone = layer.end <= norm.start and run.only_reader(made, norm, since=layer.end)
    return alone and same_channels(made, axis(layer.module, made), read, 1)


def _goes_on(run: Record, norm: Call, layer: Call) -> bool:
    made, read = norm.outputs[0], layer.inputs[0]
    alone = norm.end <= layer.start and run.only_reader(made, layer, since=norm.end)
    written = any(  # what the norm read, which the layer is to read instead
        run.operations[index].function._schema.is_mutable
        for index in run.reads(norm.inputs[0], since=norm.end)
        if index < layer.start
    )
    once = uses(run, norm) == uses(run, layer) == 1
    exact = not isinstance(layer.module, _ConvTransposeNd) and not _pads_zeros(layer.module)
    along = made.shape == read.shape and same_channels(made, 1, read, axis(layer.module, read))
    return alone and not written and once and exact and along and is_affine(norm.module)


def _pads_zeros(layer: nn.Module) -> bool:
    """Zeros around what a norm gave are no zeros around what it took. Other modes repeat values, so they commute."""
    if isinstance(layer, nn.Linear):
        return False
    padding, mode = layer.padding, layer.padding_mode
    none = padding == "valid" or (not isinstance(padding, str) and not any(cast(tuple[int, ...], padding)))
    return forward_of(layer) == SAME or not (none or mode != "zeros")


def _proofs(
    net: nn.Module, example: Tensor, folds: list[_Fold], replacements: dict[nn.Module, nn.Module]
) -> list[tuple[float, float]]:
    """(max |difference|, peak) of each fold, on what really goes through the net.

    A layer may take in two norms, so all that its replacement replaces is compared.
    """
    first: dict[nn.Module, nn.Module] = {}  # layer -> whose input its replacement takes
    last: dict[nn.Module, nn.Module] = {}  # layer -> whose output its replacement gives
    for fold in folds:
        (first if fold.ahead else last)[fold.layer.module] = fold.norm.module
    given: dict[nn.Module, Tensor] = {}
    measured: dict[nn.Module, tuple[float, float]] = {}
    hooks = []
    for layer in dict.fromkeys(fold.layer.module for fold in folds):
        begins, ends = first.get(layer, layer), last.get(layer, layer)

        def take(module: nn.Module, args: Any, kwargs: Any, layer: nn.Module = layer) -> None:
            given[layer] = replacements[layer](next(tensors((args, kwargs))).clone())

        def view(norm: nn.Module, args: Any, kwargs: Any, layer: nn.Module = layer) -> None:
            seen = next(tensors((args, kwargs)))  # which view of the layer's output the norm is shown
            given[layer] = given[layer].as_strided(seen.shape, seen.stride(), seen.storage_offset())

        def measure(module: nn.Module, args: Any, output: Tensor, layer: nn.Module = layer) -> None:
            got = given.pop(layer)
            got = got if module is layer else replacements[module](got)
            measured[layer] = float((got.double() - output.double()).abs().max()), float(output.abs().max())

        hooks += [begins.register_forward_pre_hook(take, with_kwargs=True), ends.register_forward_hook(measure)]
        if ends is not layer:
            hooks.append(ends.register_forward_pre_hook(view, with_kwargs=True))
    try:
        with torch.no_grad():
            net(example)
    finally:
        for hook in hooks:
            hook.remove()
    return [measured[fold.layer.module] for fold in folds]


def _refuse_training(net: nn.Module, modules: dict[str, nn.Module]) -> None:
    for path, module in modules.items():
        if module.training and (module is net or isinstance(module, _BatchNorm)):
            raise FoldError(
                f"{path or 'The net'} is in training mode: its BatchNorm uses each batch's statistics.",
                expected="evaluation mode",
                fix="call net.eval() first",
            )
        if isinstance(module, _BatchNorm) and module.running_var is None:
            raise FoldError(
                f"{path} has no running statistics, so it is not a constant.",
                expected="track_running_stats=True",
            )
    for name, tensor in net.state_dict().items():
        if tensor.is_floating_point() and tensor.dtype != torch.float32:
            raise FoldError(
                f"{name} is not float32.", got=str(tensor.dtype), expected="float32", fix="call net.float() first"
            )
