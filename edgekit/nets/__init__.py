"""The nets. Each is a plain `torch.nn.Module` in one readable file; this table is all that knows them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from edgekit.errors import UsageError
from edgekit.nets.centernet import CENTERNETS, CenterNet
from edgekit.nets.resnet import LAYOUTS, ResNet, infer_resnet
from edgekit.spec import ModelSpec

NETS: dict[str, Callable[..., nn.Module]] = {**dict.fromkeys(LAYOUTS, ResNet), **dict.fromkeys(CENTERNETS, CenterNet)}


def build(spec: ModelSpec) -> nn.Module:
    """The net that `spec` names, randomly initialized, in training mode.

    Raises:
        UsageError: unknown arch, or arguments it does not take.
    """
    if spec.arch not in NETS:
        raise UsageError("Unknown net.", got=spec.arch, expected="one of " + ", ".join(NETS))
    try:
        return NETS[spec.arch](spec.arch, len(spec.classes), **dict(spec.arch_args or {}))
    except TypeError as error:
        raise UsageError(f"{spec.arch} does not take these arguments.", got=str(error)) from error


def infer(state: Mapping[str, Tensor]) -> tuple[str, int, dict[str, Any]]:
    """Arch, number of classes and arch arguments from the keys and shapes of a plain state dict.

    Raises:
        CheckpointError: no net of `NETS` has these keys.
    """
    return infer_resnet(state)
