"""What a net starts from: a trunk trained on something larger, and a new last layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from edgekit.checkpoints.checkpoint import NORMS_UNNAMED, load_checkpoint
from edgekit.checkpoints.tensors import read_tensors
from edgekit.errors import CheckpointError, InputError, UsageError
from edgekit.nets.centernet import CENTERNETS


def read_weights(source: str, arch: str, norm: str) -> Mapping[str, Tensor] | None:
    """The state dict of `source`, or None for `none`.

    Args:
        source: `imagenet` (torchvision's first weights of `arch`, fetched into torch's cache if not there), `none`,
            or a checkpoint file of any kind that `edgekit.checkpoints` reads, with any number of classes. Of a
            CenterNet on that ResNet it is the whole net's, with `trunk.` before the ResNet's names.

    Raises:
        CheckpointError: a file that cannot be read or is of another net.
        InputError: nothing could be fetched.
    """
    if source == "none":
        return None
    if source == "imagenet":
        return _imagenet(arch, norm)
    path = Path(source)
    checkpoint = load_checkpoint(path, unnamed=True, norm=norm if norm in NORMS_UNNAMED and _foreign(path) else None)
    held = checkpoint.spec.arch
    found = (CENTERNETS.get(held, held), (checkpoint.spec.arch_args or {}).get("norm", "batch"))
    if found != (arch, norm):
        raise CheckpointError(
            f"{path} holds another net than the recipe names.",
            got=f"{found[0]} with {found[1]} norm",
            expected=f"{arch} with {norm} norm",
            fix=f"--set net.arch={found[0]} --set net.norm={found[1]}, or other weights",
        )
    return checkpoint.state_dict


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
    net.load_state_dict({**own, **{k: state[k] for k in trunk}})
    return len(trunk)


def _imagenet(arch: str, norm: str) -> Mapping[str, Tensor]:
    from torchvision.models import get_model_weights

    if norm != "batch":
        raise UsageError("There are no ImageNet weights with this norm.", got=norm, expected="batch")
    try:
        weights = next(iter(get_model_weights(arch)))  # the first: the plain recipe
    except ValueError as error:
        raise UsageError("torchvision has no weights of this net.", got=arch) from error
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


def _foreign(path: Path) -> bool:
    return not isinstance(read_tensors(path).get("edgekit"), int)
