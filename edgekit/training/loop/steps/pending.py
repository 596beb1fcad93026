"""What the last steps gave, left on the device and read together: reading makes the host wait for all it has asked for.

A GPU is then never idle between two steps. What is read is of every step, so nothing is told less exactly than where
each is read at once, only later.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

EVERY = 20  # steps on a GPU; on a CPU reading costs nothing


@dataclass(frozen=True)
class Step:
    """One step of the optimizer.

    Attributes:
        number: how many there were with it.
        label: of its epoch.
        place: in which batch, for messages.
        indices: samples of this process's batch.
        rates: the head's and the trunk's.
    """

    number: int
    label: str
    place: str
    indices: tuple[int, ...]
    rates: tuple[float, float]


class Pending:
    """Steps that were done and are not read yet.

    Args:
        every: how many are read at once.
    """

    def __init__(self, every: int) -> None:
        self._every = every
        self._steps: list[tuple[Step, tuple[str, ...]]] = []
        self._values: list[Tensor] = []

    def add(self, step: Step, values: Mapping[str, Tensor]) -> None:
        """Keeps the scalars of a step, which stay where they are."""
        self._steps.append((step, tuple(values)))
        self._values.append(torch.stack([value.detach().float() for value in values.values()]))

    @property
    def due(self) -> bool:
        """Whether it is time to read them."""
        return len(self._steps) >= self._every

    def read(self) -> Iterator[tuple[Step, dict[str, float]]]:
        """Every step with its values, in order; none is pending afterwards."""
        steps, values = self._steps, self._values
        self._steps, self._values = [], []
        if steps:
            rows = torch.cat(values).tolist()  # the one wait; not every step has the same number of values
            for step, names in steps:
                yield step, dict(zip(names, rows[: len(names)], strict=True))
                del rows[: len(names)]
