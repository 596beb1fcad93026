"""What is known of a net beside its code. One `Net` each, in the file that the net itself is in."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor, nn

from edgekit.errors import UsageError


class Inferred(NamedTuple):
    """The net that a plain state dict is of, as far as its keys and shapes tell.

    Attributes:
        arch: the net's name.
        classes: how many: the width of its last layer; 0 where there is none.
        arguments: those of the net's keyword arguments that the keys tell.
    """

    arch: str
    classes: int
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Keys:
    """How the plain state dicts of a family of nets are known.

    Attributes:
        family: what people call these nets, such as `ResNet`.
        marks: names that each of them has, such as `conv1.weight`; what stands before all of them in a file
            (`module.`) is a prefix. The last one is in no other kind of file.
        infer: takes a state dict and what the user states of the net's arguments (`{"norm": "group"}`); None where it
            is of another family. Raises CheckpointError where it is nearly of this one and cannot be used, UsageError
            where the keys contradict what is stated.
        untold: arguments -> values of them that the keys do not tell apart, so that they have to be stated.
        look_alikes: nets of other libraries with the same keys and shapes, and another function.
    """

    family: str
    marks: tuple[str, ...]
    infer: Callable[[Mapping[str, Tensor], Mapping[str, Any]], Inferred | None]
    untold: Mapping[str, tuple[Any, ...]] = field(default_factory=dict, hash=False)
    look_alikes: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Reference:
    """The same net in a library that shares no code with ours; `edgekit.checkpoints.reference` builds it.

    Attributes:
        library: `torchvision` or `timm`.
        name: what the net is called there.
        only: the arguments of ours with which the two are the same; any value of the others.
    """

    library: str
    name: str
    only: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Net:
    """One net.

    Attributes:
        name: what recipes and checkpoints call it (`arch`).
        build: number of classes, and keyword arguments with defaults -> the net, randomly initialized. It takes
            float32 [N, 3, H, W], normalized. A classifier gives logits float32 [N, classes]; with 0 classes, where
            it can be built so, features float32 [N, D].
        heads: paths of the modules that are new where a net is trained for other classes. A classifier has one, its
            last layer: linear, or a convolution. Its weights take the temperature in, so what follows it may only add
            up, average, or cut off below 0.
        task: what it is trained for.
        keys: how plain state dicts of it are known; None: they are not, only edgekit's own checkpoints are read.
        aliases: what other libraries call this very net.
        reference: where else it can be had, for the gate's stage `net` and for pretrained weights; None: nowhere.
        trunk: name of the net that is a part of this one, under the path `trunk`, and whose weights it can start from;
            of a net that has an argument of this name the argument says it (`trunk_of`).
    """

    name: str
    build: Callable[..., nn.Module]
    heads: tuple[str, ...]
    task: str = "classification"
    keys: Keys | None = None
    aliases: frozenset[str] = frozenset()
    reference: Reference | None = None
    trunk: str = ""

    @property
    def head(self) -> str | None:
        """The path of a classifier's last layer; None for a net with several heads."""
        return self.heads[0] if len(self.heads) == 1 else None

    @property
    def arguments(self) -> dict[str, Any]:
        """Keyword arguments that `build` takes beside the number of classes -> their defaults."""
        _, *rest = inspect.signature(self.build).parameters.values()
        return {one.name: one.default for one in rest}

    def trunk_of(self, arguments: Mapping[str, Any]) -> str:
        """The name of the net that is its trunk with these arguments; empty for none."""
        return str({**self.arguments, **arguments}.get("trunk", self.trunk))

    def complete(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """All arguments of the net: those that are asked for, and its own defaults for the rest.

        Raises:
            UsageError: arguments that it does not take; they are named.
        """
        own = self.arguments
        foreign = [name for name in asked if name not in own]
        if foreign:
            raise UsageError(
                f"{self.name} does not take these arguments.",
                got=", ".join(f"{name} = {asked[name]}" for name in foreign),
                expected="of net: " + ", ".join(own) if own else "no arguments",
                fix=f"leave {' and '.join(foreign)} out",
            )
        return {**own, **asked}

    def reference_of(self, arguments: Mapping[str, Any]) -> Reference | None:
        """`reference`, where it is the same net as ours with these arguments."""
        if self.reference is None:
            return None
        given = self.complete(arguments)
        same = all(given.get(name, value) == value for name, value in self.reference.only.items())
        return self.reference if same else None
