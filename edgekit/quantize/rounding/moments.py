"""First and second moments of what a layer read."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

AT_ONCE = 1024  # rows that are multiplied together


@dataclass
class InputStatistics:
    """First and second moments of a layer's inputs: sums over `count` places of x [K] and x x^T [K, K].

    Of a convolution in G groups they are [G, K] and [G, K, K]: the groups see different channels.
    """

    first: Floats
    second: NDArray[np.float32]
    count: int = 0
    pending: list[NDArray[np.float32]] = field(default_factory=list)

    @classmethod
    def empty(cls, inputs: int, groups: int = 1) -> InputStatistics:
        """Of a layer with K = `inputs` (of each group), before anything was seen."""
        before = () if groups == 1 else (groups,)
        return cls(np.zeros((*before, inputs)), np.zeros((*before, inputs, inputs), np.float32))

    def add(self, patches: NDArray[np.float32]) -> None:
        """Adds rows [P, K], or [P, G, K]."""
        self.first += patches.sum(axis=0, dtype=np.float64)
        self.count += len(patches)
        self.pending.append(patches)
        if self.first.ndim > 1 or sum(map(len, self.pending)) >= AT_ONCE:
            self.settle()

    def settle(self) -> None:
        """Multiplies what was added: many rows at a time, since [K, K] is 85 MB for 512 channels of 3x3."""
        if self.pending:
            rows = np.moveaxis(np.concatenate(self.pending), 0, -2)
            self.second += rows.swapaxes(-1, -2) @ rows
            self.pending.clear()

    @property
    def mean(self) -> Floats:
        """float64 [K] or [G, K]: the mean of x; zeros where nothing was seen."""
        return np.asarray(self.first / max(self.count, 1))

    def mean_second(self) -> Floats:
        """float64 [K, K] or [G, K, K]: the mean of x x^T, the caller's own."""
        self.settle()
        return np.asarray(self.second.astype(np.float64) / max(self.count, 1))

    def groups(self) -> list[InputStatistics]:
        """Those of each group, in order."""
        self.settle()
        if self.first.ndim == 1:
            return [self]
        return [InputStatistics(*both, self.count) for both in zip(self.first, self.second, strict=True)]
