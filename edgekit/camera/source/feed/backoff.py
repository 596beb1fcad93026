"""When to try a lost source again."""

from __future__ import annotations

import random
import socket
from pathlib import Path

from edgekit.camera.source.uri import Source

_KNOCK = 1.0  # seconds


class Backoff:
    """1, 2, 4 ... seconds up to `longest`, each up to a fifth longer or shorter, so that a yard of cameras does not
    come back in step."""

    def __init__(self, longest: float, rng: random.Random | None = None) -> None:
        self._longest = longest
        self._rng = rng or random.Random()  # noqa: S311 - nothing secret
        self._tries = 0

    def next(self) -> float:
        """Seconds to wait now; the next call gives more."""
        plain = min(self._longest, 2.0 ** min(self._tries, 30))
        self._tries += 1
        return min(self._longest, plain * self._rng.uniform(0.8, 1.2))

    def reset(self) -> None:
        self._tries = 0


def reachable(source: Source) -> bool:
    """Whether something answers there, without opening it: a TCP connection, or the device's file."""
    if source.host is not None:
        try:
            socket.create_connection(source.host, _KNOCK).close()
        except OSError:
            return False
        return True
    if source.kind == "device":
        return Path(f"/dev/video{source.place}" if source.place.isdigit() else source.place).exists()
    return True
