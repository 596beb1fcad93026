"""Freed memory goes back to the system or stays with the process, where the libc can."""

import platform
import resource

import psutil
import pytest

from edgekit.memory import few_arenas, give_back, kept_when_freed

needs_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")


def pages_of_80_mb() -> int:
    """How many new pages the system has to find for the second of two blocks of 80 MB."""
    assert len(bytearray(80_000_000)) == 80_000_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    assert len(bytearray(80_000_000)) == 80_000_000
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@needs_glibc
def test_what_was_freed_goes_back() -> None:
    assert few_arenas()
    held = [bytes(2000) for _ in range(50_000)]  # 100 MB in small pieces
    last = bytes(2000)  # above them in the heap
    process = psutil.Process()
    full = process.memory_info().rss
    del held
    assert give_back()
    assert process.memory_info().rss < full - 60e6
    assert len(last) == 2000


@needs_glibc
def test_what_was_freed_is_kept_within_and_goes_back_afterwards() -> None:
    usual = pages_of_80_mb()
    with kept_when_freed({}) as keeps:
        assert keeps
        assert pages_of_80_mb() < usual / 5
        full = psutil.Process().memory_info().rss
    assert psutil.Process().memory_info().rss < full - 60e6
    assert pages_of_80_mb() > usual / 2


@pytest.mark.parametrize(
    "environment", [{"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=1000"}, {"MALLOC_TRIM_THRESHOLD_": "1"}]
)
def test_who_chose_already_is_left_alone(environment: dict[str, str]) -> None:
    usual = pages_of_80_mb()
    with kept_when_freed(environment) as keeps:
        assert not keeps
        assert pages_of_80_mb() > usual / 2


def test_a_libc_that_cannot_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())
    assert not few_arenas()
    assert not give_back()
    with kept_when_freed({}) as keeps:
        assert not keeps
