"""Freed memory goes back to the system or stays with the process, where the libc can."""

import platform
import subprocess
import sys

import psutil
import pytest

from edgekit.memory import few_arenas, give_back, kept_when_freed

needs_glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")


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


# run alone: in a process that has freed much before, the heap has room for the block, and no page is new
KEEPING = """
import resource, sys
import psutil
from edgekit.memory import kept_when_freed

def block():
    "Bytes that the system has to find for the second of two blocks of 80 MB."
    bytearray(80_000_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    bytearray(80_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    return psutil.Process().memory_info().rss

usual = block()
with kept_when_freed(eval(sys.argv[1])) as keeps:
    within, full = block(), resident()
print(keeps, usual, within, block(), full - resident())
"""


def keeping(environment: dict[str, str]) -> tuple[bool, int, int, int, int]:
    command = [sys.executable, "-c", KEEPING, repr(environment)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    usual, within, afterwards, returned = map(int, said[1:])
    return said[0] == "True", usual, within, afterwards, returned


@needs_glibc
def test_what_was_freed_is_kept_within_and_goes_back_afterwards() -> None:
    keeps, usual, within, afterwards, returned = keeping({})
    assert keeps
    assert within < usual / 5
    assert afterwards > usual / 2
    assert returned > 60e6


@needs_glibc
@pytest.mark.parametrize(
    "environment", [{"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=1000"}, {"MALLOC_TRIM_THRESHOLD_": "1"}]
)
def test_who_chose_already_is_left_alone(environment: dict[str, str]) -> None:
    keeps, usual, within, _, _ = keeping(environment)
    assert not keeps
    assert within > usual / 2


def test_a_libc_that_cannot_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())
    assert not few_arenas()
    assert not give_back()
    with kept_when_freed({}) as keeps:
        assert not keeps
