"""The nets. Each is a plain `torch.nn.Module` in one readable file; this table is all that knows them all.

Those of torchvision and timm come by name (`edgekit.nets.library`).
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from torch import Tensor, nn

from edgekit.errors import CheckpointError, UsageError
from edgekit.nets.library import LIBRARIES, library_net, of_library
from edgekit.nets.registry import Inferred, Keys, Net, Reference
from edgekit.spec import ModelSpec

__all__ = [
    "LIBRARIES",
    "NETS",
    "Inferred",
    "Keys",
    "Net",
    "Reference",
    "build",
    "families",
    "find",
    "infer",
    "of_library",
    "plain",
    "untold",
]

FILES = (  # beside this one; each has its nets in NETS
    "resnet",
    "centernet",
    "unet",
    "magnitude",
)
NETS: dict[str, Net] = {net.name: net for file in FILES for net in import_module(f"edgekit.nets.{file}").NETS}


def find(arch: str, task: str | None = None) -> Net:
    """What is known of the net that is called `arch`: one of `NETS`, or `timm:NAME` and `torchvision:NAME`.

    Args:
        task: what it must be for, such as `classification`; None for any.

    Raises:
        UsageError: there is none, or it is for another task.
    """
    known = [name for name, net in NETS.items() if task in (None, net.task)]
    expected = "one of " + ", ".join((*known, *(("timm:NAME, torchvision:NAME",) if task in (None, Net.task) else ())))
    net = library_net(arch) if of_library(arch) else NETS.get(arch)
    if net is None:
        raise UsageError("Unknown net.", got=arch, expected=expected)
    if task not in (None, net.task):
        raise UsageError(f"{arch} is a net for {net.task}.", got=task, expected=expected)
    return net


def build(spec: ModelSpec) -> nn.Module:
    """The net that `spec` names, randomly initialized, in training mode.

    Raises:
        UsageError: unknown arch, or arguments it does not take.
    """
    net = find(spec.arch)
    return net.build(len(spec.classes), **net.complete(spec.arch_args or {}))


def families() -> list[Keys]:
    """How plain state dicts are known, each family of nets once."""
    return list(dict.fromkeys(net.keys for net in NETS.values() if net.keys is not None))


def plain() -> tuple[str, ...]:
    """Names of the nets whose plain state dicts are known."""
    return tuple(name for name, net in NETS.items() if net.keys is not None)


def untold(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a net's arguments that no keys tell, so that they have to be stated beside a plain state dict."""
    return {
        name: value for name, value in arguments.items() if any(value in k.untold.get(name, ()) for k in families())
    }


def infer(state: Mapping[str, Tensor], stated: Mapping[str, Any] | None = None) -> Inferred:
    """Arch, number of classes and arguments from the keys and shapes of a plain state dict.

    Args:
        stated: arguments of the net that the user states, since keys do not tell them, such as `{"norm": "group"}`.

    Raises:
        CheckpointError: no net of `NETS` has these keys.
        UsageError: the keys contradict what is stated, or the net does not take it.
    """
    for keys in families():
        found = keys.infer(state, stated or {})
        if found is not None:
            NETS[found.arch].complete(stated or {})
            return found
    shown = ", ".join(sorted(state)[:4])
    raise CheckpointError(
        "The state dict is not of a net that edgekit knows.",
        got=f"{len(state)} keys ({shown}, ...)",
        expected="the key names of " + ", ".join(plain()),
        fix="save the state_dict() of one of these, or add the net (CONTRIBUTING.md, 'Add a net')",
    )
