"""What a net starts from: a trunk trained on something larger, and a new last layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from edgekit import nets
from edgekit.artifacts.deployment import model_path
from edgekit.artifacts.kinds import weights_file
from edgekit.checkpoints.checkpoint import Checkpoint, load_checkpoint
from edgekit.checkpoints.exported import read_export
from edgekit.checkpoints.fitting.naming import plain_name
from edgekit.checkpoints.tensors import read_tensors
from edgekit.config.net import key_of
from edgekit.errors import CheckpointError, InputError, UsageError
from edgekit.nets.weights import load_weights
from edgekit.spec import ModelSpec


class Start(NamedTuple):
    """What a net starts from.

    Attributes:
        state: its state dict.
        spec: what net it is of; None where only its tensors are known.
        trained_on: as in `edgekit.artifacts.metadata.Metadata`.
        exported: whether it comes from an exported file, and its BatchNorms know nothing of their inputs.
    """

    state: Mapping[str, Tensor]
    spec: ModelSpec | None
    trained_on: str = ""
    exported: bool = False


def read_weights(source: str, arch: str, arguments: Mapping[str, Any]) -> Start | None:
    """What a net starts from, or None for `none`.

    Args:
        source: `imagenet` (torchvision's first weights of the net, fetched into torch's cache if not there), `none`,
            a file that `edgekit export` wrote, the name of a model that edgekit ships, or a checkpoint file of any
            kind that `edgekit.checkpoints` reads, with any number of classes. Of a net
            that has this one as its trunk it is the whole net, with `trunk.` before the trunk's names.
        arch, arguments: the net that is to start from them.

    Raises:
        CheckpointError: a file that cannot be read or is of another net.
        InputError: nothing could be fetched.
        UsageError: there are no ImageNet weights of this net.
    """
    if source == "none":
        return None
    net = nets.find(arch)
    asked = net.complete(arguments)
    if source == "imagenet":
        return Start(_imagenet(net, asked), None)
    path = model_path(Path(source))
    if path.suffix.lower() == ".onnx":
        state, described = read_export(path)
        start = Start(state, described.model, described.trained_on, exported=True)
    else:
        checkpoint = _loaded(path, net, asked)
        start = Start(checkpoint.state_dict, checkpoint.spec, checkpoint.trained_on)
    assert start.spec is not None
    found, held = nets.find(start.spec.arch), dict(start.spec.arch_args or {})
    if trunk := found.trunk_of(held):
        found = nets.find(trunk)
        held = {name: value for name, value in held.items() if name in found.arguments}
    held = found.complete(held)
    differ = [name for name in held if name in asked and held[name] != asked[name]]
    if differ or net.name not in (found.name, plain_name(found.name)):
        raise CheckpointError(
            f"{path} holds another net than the recipe names.",
            got=_called(found.name, held, differ),
            expected=_called(net.name, asked, differ),
            fix=" ".join([f"--set net.arch={found.name}", *(f"--set {key_of(k)}={held[k]}" for k in differ)])
            + ", or other weights",
        )
    return start


def _called(name: str, arguments: Mapping[str, Any], differ: Sequence[str]) -> str:
    return f"{name} with {', '.join(f'{arguments[k]} {k}' for k in differ)}" if differ else name


def start_from(net: nn.Module, state: Mapping[str, Tensor], heads: Sequence[str]) -> int:
    """Copies `state` into all of `net` but its `heads`, which stay random; returns the number of tensors.

    Raises:
        CheckpointError: something of the trunk is missing or has another shape.
    """
    own = net.state_dict()
    trunk = {k: v for k, v in own.items() if not k.startswith(tuple(f"{head}." for head in heads))}
    wrong = [k for k, v in trunk.items() if k not in state or state[k].shape != v.shape]
    if wrong:
        raise CheckpointError(
            "The weights do not fit the net's trunk.",
            got=f"{len(wrong)} of {len(trunk)} tensors are missing or have another shape: {', '.join(wrong[:4])}",
            expected="the same architecture and norm",
        )
    load_weights(net, {**own, **{k: state[k] for k in trunk}})
    return len(trunk)


def _imagenet(net: nets.Net, arguments: Mapping[str, Any]) -> Mapping[str, Tensor]:
    from torchvision.models import get_model_weights

    reference = net.reference
    if reference is None or reference.library != "torchvision":
        raise UsageError(
            "Only torchvision's weights are fetched, and this net is not of it.",
            got=f"net.weights = imagenet for {net.name}",
            expected="a file with its weights, or none",
            fix="--weights FILE",
        )
    for name, value in reference.only.items():
        if arguments.get(name, value) != value:
            raise UsageError(
                f"There are no ImageNet weights with this {name}.", got=str(arguments[name]), expected=str(value)
            )
    weights = next(iter(get_model_weights(reference.name)))  # the first: the plain recipe
    try:
        state: Mapping[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:  # URLError is an OSError; a wrong hash is a RuntimeError
        raise InputError(
            "The ImageNet weights could not be fetched.",
            got=f"{weights.url}: {error}",
            expected="a connection, or the file in " + torch.hub.get_dir(),
            fix="fetch it elsewhere and name it: --weights FILE",
        ) from error
    return state


def _loaded(path: Path, net: nets.Net, asked: Mapping[str, Any]) -> Checkpoint:
    """What a file holds; of another library's net the recipe says which it is, since its keys are only a guess."""
    if isinstance(read_tensors(weights_file(path)).get("edgekit"), int):
        return load_checkpoint(path, unnamed=True)
    named = net.name if nets.of_library(net.name) else None
    return load_checkpoint(path, unnamed=True, norm=nets.untold(asked).get("norm"), arch=named)
