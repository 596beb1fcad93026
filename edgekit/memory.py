"""What glibc does with freed memory: give it back to the system, or keep it for the next that asks."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator, Mapping

# mallopt(3); -1 as a trim threshold: never
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -3, -4, -8
# where glibc's moving limits end after a block of 32 MB was freed, and its own number of mapped blocks
_USUAL = ((_MMAP_THRESHOLD, 32 * 2**20), (_TRIM_THRESHOLD, 64 * 2**20), (_MMAP_MAX, 65536))
# how a user sets the same limits, in GLIBC_TUNABLES or as variables of their own
_TUNABLES = ("glibc.malloc.mmap_", "glibc.malloc.trim_")
_VARIABLES = ("MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")


def few_arenas(count: int = 2) -> bool:
    """Lets all threads share `count` heaps instead of having one each; whether this libc can."""
    return _call("mallopt", _ARENA_MAX, count)


def give_back() -> bool:
    """Returns freed memory to the system (malloc_trim(3)); whether this libc can.

    glibc keeps what opening a model freed, 120 MB of a ResNet-18, for the season.
    """
    return _call("malloc_trim", 0)


@contextlib.contextmanager
def kept_when_freed(environment: Mapping[str, str] = os.environ) -> Iterator[bool]:
    """Within it the process keeps what it frees; whether this libc can and nobody chose otherwise.

    A training step on a CPU asks for the same large tensors again and again. glibc gives each back when it is freed,
    and the system then clears every page anew: a seventh to a fifth of all processor time for a CenterNet. Afterwards
    all is as before, and what is free goes back.

    Args:
        environment: who set these limits there (GLIBC_TUNABLES, MALLOC_TRIM_THRESHOLD_ ..) is left alone.
    """
    tunables = environment.get("GLIBC_TUNABLES", "")
    chosen = any(name in tunables for name in _TUNABLES) or any(name in environment for name in _VARIABLES)
    keeps = not chosen and _call("mallopt", _MMAP_MAX, 0) and _call("mallopt", _TRIM_THRESHOLD, -1)
    try:
        yield keeps
    finally:
        if keeps:
            for name, value in _USUAL:
                _call("mallopt", name, value)
            give_back()


def _call(name: str, *arguments: int) -> bool:
    try:
        function = getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):  # musl, macOS
        return False
    return bool(function(*arguments)) or name == "malloc_trim"
