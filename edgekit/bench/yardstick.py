"""A fixed piece of work beside the models, in every turn: how fast the machine itself was just then.

Two runs an hour apart differ by what the machine did meanwhile. Divided by the yardstick of their turn, most of that
is gone, so that a report can be compared with an older one.
"""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

SIDE = 384
ROWS = 12
SECONDS = 0.25


class Yardstick:
    """Matrix products and additions in float32 on all cores, about as dense as a small net."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self._a = rng.standard_normal((SIDE, SIDE), dtype=np.float32)
        self._b = rng.standard_normal((SIDE, SIDE), dtype=np.float32) / np.float32(SIDE**0.5)
        self._out: NDArray[np.float32] = np.empty_like(self._a)

    def once(self) -> float:
        """Milliseconds of the fixed work."""
        start = time.perf_counter()
        np.copyto(self._out, self._a)
        for _ in range(ROWS):
            np.matmul(self._out, self._b, out=self._out)
            np.tanh(self._out[:64], out=self._out[:64])
        return (time.perf_counter() - start) * 1e3

    def turn(self, seconds: float = SECONDS) -> list[float]:
        """Repeated for a while; the first, which brings the caches back, is not counted."""
        self.once()
        until = time.perf_counter() + seconds
        times: list[float] = []
        while time.perf_counter() < until or len(times) < 5:
            times.append(self.once())
        return times
