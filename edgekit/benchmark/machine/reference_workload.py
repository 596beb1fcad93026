"""A fixed piece of work beside the models, in every turn: how fast the machine itself was just then.

Two runs an hour apart differ by what the machine did meanwhile. Divided by the reference workload of their turn, most
of that is gone, so that a report can be compared with an older one.
"""

from __future__ import annotations

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

from edgekit.cores import usable_cpus

BYTES = 1 << 20
NAME = "blake2b of 1 MiB"  # of the work: reports with another are not compared
SECONDS = 0.15
LEAST = 3


class ReferenceWorkload:
    """A hash (BLAKE2b) of zeros on every core at once, done when the slowest is.

    Registers and additions only: where in memory a process happens to lie changes it by 1 %, and arithmetic on arrays
    by 3 to 8 %. No matrix product: OpenBLAS waits by spinning, and on a busy machine a product of 1 ms takes seconds.
    """

    def __init__(self) -> None:
        count = usable_cpus()
        self._work = [bytes(BYTES)] * count
        self._pool = ThreadPoolExecutor(count)

    def once(self) -> float:
        """Milliseconds of the fixed work."""
        start = time.perf_counter()
        list(self._pool.map(_step, self._work))
        return (time.perf_counter() - start) * 1e3

    def turn(self, seconds: float = SECONDS) -> list[float]:
        """Repeated for a while; the first, which brings the caches back, is not counted."""
        self.once()
        until = time.perf_counter() + seconds
        times: list[float] = []
        while time.perf_counter() < until or len(times) < LEAST:
            times.append(self.once())
        return times

    def __enter__(self) -> ReferenceWorkload:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()


def _step(held: bytes) -> bytes:
    return hashlib.blake2b(held).digest()
