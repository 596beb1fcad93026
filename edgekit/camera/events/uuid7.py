"""Ids that sort by time: UUID version 7 (RFC 9562, section 5.7). Python's own uuid module has them from 3.14 on;
until that is the oldest version here, these lines stand for it."""

from __future__ import annotations

import secrets
import threading
import time
import uuid

_lock = threading.Lock()
_last = 0


def uuid7(seconds: float | None = None) -> str:
    """A new id from wall-clock `seconds`, now by default. Ids made in one process rise, even in one millisecond or
    when the clock is set back (method 1 of section 6.2: the random bits are counted up)."""
    global _last
    stamp = int((time.time() if seconds is None else seconds) * 1000) & (2**48 - 1)
    fresh = stamp << 74 | secrets.randbits(73)  # the top bit is left free, to count up
    with _lock:
        _last = fresh if fresh > _last else _last + 1 + secrets.randbits(32)
        value = _last
    high, low = value >> 62, value & (2**62 - 1)
    return str(uuid.UUID(int=(high >> 12) << 80 | 7 << 76 | (high & 0xFFF) << 64 | 2 << 62 | low))
