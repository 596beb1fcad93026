"""From monotonic seconds, which everything here counts in, to times for people."""

from __future__ import annotations

import ctypes
import time
from datetime import datetime, timezone
from functools import lru_cache
from pathlib import Path
from typing import Any

RELEASED = 1_793_491_200.0  # 2026-11-01: no right clock says less where this edgekit runs
_UNSYNCHRONISED = 5  # TIME_ERROR of adjtimex(2)


def wall(at: float) -> float:
    """Wall-clock seconds of a monotonic moment, by what the clock says now: after it was set, right for both."""
    return time.time() - time.monotonic() + at


class Clock:
    """What a moment of the scene is by the wall clock: of a camera, by the machine's own."""

    def wall(self, at: float) -> float:
        """Seconds since 1970 of the scene's `at`."""
        return wall(at)

    def state(self, at: float) -> dict[str, Any]:
        """What an event says of the clock that it was timed by."""
        return clock_state(at)


class FileClock(Clock):
    """Of a file: it began at some time, and its own time counts from there. Never later than now."""

    def __init__(self) -> None:
        self._begins: float | None = None
        self._zero = 0.0

    def set(self, begins: float, zero: float) -> None:
        """The scene's `zero` is `begins` in seconds since 1970."""
        self._begins, self._zero = begins, zero

    def wall(self, at: float) -> float:
        now = time.time()
        return now if self._begins is None else min(now, self._begins + at - self._zero)

    def state(self, at: float) -> dict[str, Any]:
        return {"synced": None, "boot_id": None, "mono": None}


def iso(seconds: float) -> str:
    """RFC 3339 in UTC with milliseconds."""
    moment = datetime.fromtimestamp(round(seconds, 3), timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def plausible(newest: float) -> bool:
    """Whether the wall clock can be right: not before this edgekit was made, nor before the `newest` event kept."""
    return time.time() >= max(RELEASED, newest)


def seconds_of(text: object) -> float:
    """Wall-clock seconds of a time as `iso` writes it; 0 of anything else."""
    try:
        return datetime.fromisoformat(str(text).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return 0.0


def clock_state(at: float) -> dict[str, Any]:
    """Whether the wall clock can be trusted, and what to correct it with later: boot id and monotonic seconds."""
    return {"synced": synchronised(), "boot_id": boot_id(), "mono": round(at, 3)}


def synchronised() -> bool | None:
    """Whether the kernel's clock is kept right by NTP or the like; None where the kernel doesn't tell.

    A Raspberry Pi has no clock of its own and starts in the past.
    """
    try:
        library = ctypes.CDLL(None, use_errno=True)
        state = int(library.adjtimex(ctypes.create_string_buffer(512)))  # modes = 0 changes nothing
    except (OSError, AttributeError):
        return None
    return None if state < 0 else state != _UNSYNCHRONISED


@lru_cache(maxsize=1)
def boot_id() -> str | None:
    """The kernel's id of this boot: monotonic seconds of one boot can be compared, of two they cannot."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
