"""Freed memory goes back to the system, where the libc can."""

import platform

import psutil
import pytest

from edgekit.camera.memory import few_arenas, give_back


def test_what_was_freed_goes_back() -> None:
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("needs glibc")
    assert few_arenas()
    held = [bytes(2000) for _ in range(50_000)]  # 100 MB in small pieces
    last = bytes(2000)  # above them in the heap
    process = psutil.Process()
    full = process.memory_info().rss
    del held
    assert give_back()
    assert process.memory_info().rss < full - 60e6
    assert len(last) == 2000


def test_a_libc_that_cannot_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())
    assert not few_arenas()
    assert not give_back()
