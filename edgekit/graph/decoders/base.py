"""What a decoder is: how a net's raw outputs are recognised, and how they become the outputs that edgekit's files have.

A reading says it all as plain data, and is done twice: by ONNX operators behind the net (`append`), and in plain numpy
(`reference`), by code that shares nothing with the first. What a file is adopted by is the second against the first.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np
import onnx
from numpy.typing import NDArray

from edgekit.graph.builder import Builder
from edgekit.screen import count_of
from edgekit.vision.spec import Suppression, TensorSpec, known_keys, require

Arrays = Mapping[str, NDArray[Any]]
Size = tuple[int, int]  # height, width of the net's input in pixels


@dataclass(frozen=True)
class Reading:
    """How the raw outputs of one net are to be read.

    Attributes:
        decoder: a name of `edgekit.graph.decoders.DECODERS`.
        task: a name of `edgekit.tasks.TASKS`.
        roles: what an output is for -> its name.
        classes: how many the net tells apart, without background; 0 where it has none.
        settings: what differs between nets of one decoder, plain data for JSON.
        notes: what was taken for granted, one sentence each.
    """

    decoder: str
    task: str
    roles: Mapping[str, str]
    classes: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; `from_dict` reads it."""
        return {
            "decoder": self.decoder,
            "task": self.task,
            "roles": dict(self.roles),
            "classes": self.classes,
            "settings": dict(self.settings),
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Reading:
        """Inverse of `to_dict`. Raises InputError on an unknown or missing key."""
        known_keys("a reading", data, {f.name for f in fields(cls)})
        for name in ("decoder", "task", "roles", "classes"):
            require(name in data, name, "nothing", "a value")
        return cls(**{**data, "notes": tuple(data.get("notes", ()))})

    def __str__(self) -> str:
        outputs = ", ".join(f"{role} = {name}" for role, name in self.roles.items())
        kinds = f", {count_of(self.classes, 'class')}" if self.classes else ""
        own = "".join(f", {key} {value}" for key, value in self.settings.items() if not isinstance(value, (list, dict)))
        return f"{self.decoder}: {outputs}{kinds}{own}"


@dataclass(frozen=True)
class Seen:
    """What is known of a net before it is run.

    Attributes:
        outputs: with their raw names, in the file's order.
        size: of the input.
        props: what the exporter wrote into the file.
        model: the graph, where what stands in front of an output may be looked at.
    """

    outputs: tuple[TensorSpec, ...]
    size: Size
    props: Mapping[str, str]
    model: onnx.ModelProto | None = None


@dataclass(frozen=True)
class Kept:
    """Which boxes of a detector are given.

    Attributes:
        keep: boxes a picture, K of the outputs; places are filled up with score 0.
        candidates: so many of the highest scores are looked at for duplicates; at least `keep`.
        suppression: which duplicates are left out; None: none.
    """

    keep: int = 100
    candidates: int = 600
    suppression: Suppression | None = None

    @property
    def looked_at(self) -> int:
        return max(self.keep, self.candidates) if self.suppression is not None else self.keep


class Decoder(ABC):
    """One way to read outputs.

    Attributes:
        name: of it in `DECODERS`.
        tasks: those that it serves.
        expects: the outputs that it reads, for messages.
        duplicates: whether several boxes may stand on one object, so that they are to be suppressed.
    """

    name: str
    tasks: ClassVar[tuple[str, ...]] = ("detection",)
    expects: str
    duplicates: ClassVar[bool] = True

    @abstractmethod
    def read(self, seen: Seen, task: str) -> list[Reading]:
        """All ways in which it fits outputs; none where it doesn't."""

    @abstractmethod
    def append(self, b: Builder, reading: Reading, seen: Seen, kept: Kept) -> dict[str, str]:
        """Adds the nodes. Gives output of the contract -> the tensor that holds it."""

    @abstractmethod
    def reference(self, reading: Reading, size: Size, outputs: Arrays, kept: Kept) -> dict[str, NDArray[Any]]:
        """The contract's outputs of raw ones, [N, ...] each, in plain numpy."""


def shape_of(seen: Seen, name: str) -> tuple[int | str, ...]:
    """Of a raw output."""
    return next(spec.shape for spec in seen.outputs if spec.name == name)


def sigmoid(x: NDArray[Any]) -> NDArray[np.float64]:
    """1 / (1 + exp(-x)), without an overflow."""
    half = np.asarray(x, dtype=np.float64) / 2
    return np.asarray((np.tanh(half) + 1) / 2)
