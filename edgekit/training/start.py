"""What a net with a trunk starts from: the pictures that the trunk's weights take, and where these go in the net."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from edgekit import nets
from edgekit.checkpoints.pretrained import read_weights, start_from
from edgekit.config.recipe import Recipe
from edgekit.errors import CheckpointError
from edgekit.nets.library import preprocess
from edgekit.nets.pyramid import pyramid_state
from edgekit.nets.weights import load_weights
from edgekit.screen import count_of, some
from edgekit.spec import ModelSpec, PreprocessSpec
from edgekit.training.task import Training, normalised, stacked

SEEN, BATCH = 64, 8  # training samples on which BatchNorms are measured, and how many at a time


def preprocess_of(recipe: Recipe, trunk: str) -> PreprocessSpec:
    """The recipe's, with the mean and deviation that the published weights of a trunk by name take."""
    usual = preprocess(trunk) if nets.of_library(trunk) else None
    own = recipe.input.preprocess()
    return own if usual is None else replace(own, mean=usual.mean, std=usual.std)


class Started(NamedTuple):
    """What a net was given to start from.

    Attributes:
        told: what was taken, for people; "" for nothing.
        trained_on: as in `edgekit.artifacts.metadata.Metadata`.
        bare: whether its BatchNorms are to be `settled`.
    """

    told: str = ""
    trained_on: str = ""
    bare: bool = False


def started(net: nn.Module, source: str, spec: ModelSpec, new: str) -> Started:
    """Gives a net with a trunk the weights of `source`: all of them where it is of the same net, else the trunk's.

    Of the same net what answers for a class (`net.by_class`) is taken over by the class's name; other classes start
    anew.

    Args:
        net: of `spec`, with its heads as they start; changed in place.
        source: as `edgekit.checkpoints.pretrained.read_weights` takes it.
        new: what to say of the rest where only the trunk's weights are taken.

    Raises:
        CheckpointError, InputError, UsageError: as `read_weights`.
    """
    kind = nets.find(spec.arch)
    arguments = kind.complete(spec.arch_args or {})
    trunk = nets.find(kind.trunk_of(arguments))
    found = read_weights(source, trunk.name, {name: v for name, v in arguments.items() if name in trunk.arguments})
    if found is None:
        return Started()
    of = found.spec
    if of is not None and of.arch == spec.arch and kind.complete(of.arch_args or {}) == arguments:
        told = _all(net, found.state, of.classes, spec.classes, source)
        if _normalization(of.preprocess) != _normalization(spec.preprocess):
            told += "; WARNING: it learnt from pictures that were normalized otherwise"
    else:
        state, left = in_trunk(net, found.state, trunk)
        told = f"{count_of(start_from(net, state, kind.heads), 'tensor')} of the trunk from {source}; {new}{left}"
    return Started(told, found.trained_on, found.exported)


def settled(task: Training) -> str:
    """`settle` on `SEEN` of the task's training samples; what to say of it."""
    samples = [task.sample(i % len(task), i)["image"] for i in range(SEEN)]
    batches = (normalised(stacked(samples[i : i + BATCH]), task.spec.preprocess) for i in range(0, SEEN, BATCH))
    return f"{count_of(settle(task.net, batches), 'BatchNorm')} measured on {count_of(SEEN, 'training sample')}"


@torch.no_grad()
def settle(net: nn.Module, batches: Iterable[Tensor]) -> int:
    """Gives the BatchNorms of a net that comes from an exported file their inputs' mean and variance.

    Their weights and biases change with them, so in evaluation mode the net gives what it gave; in training mode, where
    a batch's own statistics count, it begins from there instead of somewhere else.

    Args:
        net: changed in place; its mode stays.
        batches: float32 [N, 3, H, W], normalized, as training sees them.

    Returns:
        How many BatchNorms there are.
    """
    sums: dict[_BatchNorm, Tensor] = {}

    def add(norm: nn.Module, given: tuple[Tensor, ...]) -> None:
        x = given[0].double().transpose(0, 1).flatten(1)  # [C, numbers]
        new = torch.stack((torch.full_like(x[:, 0], x.shape[1]), x.sum(1), x.square().sum(1)))
        assert isinstance(norm, _BatchNorm)
        sums[norm] = sums[norm] + new if norm in sums else new

    norms = (one for one in net.modules() if isinstance(one, _BatchNorm))
    hooks, mode = [norm.register_forward_pre_hook(add) for norm in norms], net.training
    net.eval()
    for batch in batches:
        net(batch)
    net.train(mode)
    for hook in hooks:
        hook.remove()
    for norm, (count, total, squares) in sums.items():
        mean = total / count
        _move(norm, mean, (squares / count - mean.square()).clamp(min=0))
    return len(sums)


def _move(norm: Any, mean: Tensor, variance: Tensor) -> None:
    """The same affine map with other statistics."""
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    shift = norm.bias.double() - scale * norm.running_mean.double()
    norm.weight.copy_(scale * (variance + norm.eps).sqrt())
    norm.bias.copy_(shift + scale * mean)
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)


def _normalization(spec: PreprocessSpec) -> tuple[object, ...]:
    return spec.color, tuple(spec.mean), tuple(spec.std)


def _all(net: nn.Module, state: Mapping[str, Tensor], theirs: Sequence[str], ours: Sequence[str], source: str) -> str:
    own, kept = net.state_dict(), [name for name in ours if name in theirs]
    by_class = {name: value for name, value in own.items() if name.startswith(f"{net.by_class}.")}
    shapes = {name: value.shape for name, value in own.items()}
    shapes |= {name: torch.Size((len(theirs), *value.shape[1:])) for name, value in by_class.items()}
    wrong = [name for name, shape in shapes.items() if name not in state or state[name].shape != shape]
    if wrong:
        raise CheckpointError(
            f"{source} does not have the weights of the net that it names.",
            got=f"{len(wrong)} of {len(own)} tensors are missing or have another shape: {', '.join(wrong[:4])}",
            expected=f"all of them, for {count_of(len(theirs), 'class')}",
            fix="save the whole net.state_dict() again",
        )
    for name, value in by_class.items():
        for label in kept:
            value[ours.index(label)] = state[name][theirs.index(label)]
    load_weights(net, {**{name: state[name] for name in own}, **by_class})
    new, gone = [n for n in ours if n not in theirs], [n for n in theirs if n not in ours]
    told = [f"the whole net from {source}, {count_of(len(own), 'tensor')}", f"its classes {some(kept)}" if kept else ""]
    told += [f"new are {some(new)}" if new else "", f"left out {some(gone)}" if gone else ""]
    return "; ".join(filter(None, told))


def in_trunk(net: nn.Module, state: Mapping[str, Tensor], trunk: nets.Net) -> tuple[Mapping[str, Tensor], str]:
    """Weights under the names that they have in the net whose `trunk` they are of, and what to say of those that have
    no place in it.
    """
    if any(key.startswith("trunk.") for key in state):
        return state, ""
    left: list[str] = []
    if nets.of_library(trunk.name):
        state, left = pyramid_state(net.get_submodule("trunk"), state)
    parts = ", ".join(dict.fromkeys(name.partition(".")[0] for name in left))
    return {f"trunk.{key}": value for key, value in state.items()}, f"; left out: {parts}" if left else ""
