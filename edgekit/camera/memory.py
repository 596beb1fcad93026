"""Returns freed memory to the system: glibc keeps what opening a model freed, 120 MB of a ResNet-18, for the season."""

from __future__ import annotations

import ctypes

_ARENA_MAX = -8  # M_ARENA_MAX of mallopt(3)


def few_arenas(count: int = 2) -> bool:
    """Lets all threads share `count` heaps instead of having one each; whether this libc can."""
    return _call("mallopt", _ARENA_MAX, count)


def give_back() -> bool:
    """Returns freed memory to the system (malloc_trim(3)); whether this libc can."""
    return _call("malloc_trim", 0)


def _call(name: str, *arguments: int) -> bool:
    try:
        function = getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):  # musl, macOS
        return False
    return bool(function(*arguments)) or name == "malloc_trim"
