"""What a foreign net's outputs are: a softmax over classes, any number of labels, or features without a last layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from edgekit import nets
from edgekit.checkpoints.claims import Claims, refuse_contradiction
from edgekit.errors import CheckpointError, UsageError
from edgekit.spec import PreprocessSpec


@dataclass(frozen=True)
class Outputs:
    """What is known of them.

    Attributes:
        task: a name of `edgekit.tasks.TASKS`.
        notes: what is to be said of them.
    """

    task: str
    notes: tuple[str, ...] = ()


def outputs_of(
    claims: Claims, width: int, head: str, path: Path, *, multi_label: bool | None, unnamed: bool
) -> Outputs:
    """What the outputs are, as the file and the caller say it.

    Args:
        width: of the last layer; 0: there is none.
        head: the last layer's path.
        multi_label: what the caller says.
        unnamed: outputs play no part, as for a trunk to train on.

    Raises:
        CheckpointError: the file says another number of classes than its last layer has.
        UsageError: the caller contradicts the file.
    """
    count, several = claims["width"], claims["multi_label"]
    if not width:
        return Outputs("features", _without_head(claims, head, path, multi_label))
    if count is not None and count.value != width and not unnamed:
        raise CheckpointError(
            f"{path} says another number of classes than its last layer has.",
            got=f"{count.where} = {count.value}",
            expected=f"{width}, of {head}",
            fix="save it anew from the net itself",
        )
    refuse_contradiction(several, multi_label, "--multi-label", path)
    if multi_label or (several is not None and several.value):
        by = f"as the file says ({several.where})" if several is not None else "by --multi-label"
        return Outputs("multilabel", (f"a picture may have several labels, {by}: scores are sigmoids, not a softmax",))
    return Outputs("classification")


def _without_head(claims: Claims, head: str, path: Path, multi_label: bool | None) -> tuple[str, ...]:
    if multi_label is not None:
        raise UsageError(
            f"{path} has no last layer, so it gives features and no labels.",
            got="--multi-label",
            expected=f"weights with {head}",
            fix="leave --multi-label out, or save the whole classifier's net.state_dict()",
        )
    said = [f"{claim.where} = {claim.value}" for name in ("width", "multi_label") if (claim := claims[name])]
    told = f" (the file's {', '.join(said)} is of one that is not in it)" if said else ""
    last = head.removesuffix(".weight")
    return (
        f"features, not a classifier: there is no last layer, {last}{told}. For a classifier save the whole net's "
        f"state_dict(), or train a last layer on these weights: edgekit train classifier --data DIR --weights {path}",
    )


def feature_count(arch: str, arguments: Mapping[str, Any], size: PreprocessSpec, path: Path) -> int:
    """The D of [N, D] that the net `arch` without its last layer gives of pictures of this size.

    Raises:
        CheckpointError: it gives something else, such as maps that are not pooled.
    """
    net = nets.find(arch)
    built = net.build(0, **net.complete(arguments)).eval()
    with torch.inference_mode():
        given = built(torch.zeros(1, 3, size.height, size.width))
    if not isinstance(given, torch.Tensor) or given.ndim != 2:
        shape = list(given.shape) if isinstance(given, torch.Tensor) else type(given).__name__
        raise CheckpointError(
            f"{path} is of a net that gives no vector for a picture.",
            got=f"{arch} without its last layer gives {shape}",
            expected="[N, D], pooled",
            fix="a net that pools, as timm's do unless global_pool is ''",
        )
    return int(given.shape[1])
