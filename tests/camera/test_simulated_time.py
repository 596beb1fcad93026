"""Time that goes by while all threads wait: every wait happens, in order, and none of them takes long."""

import subprocess
import sys
from pathlib import Path

import pytest

_LIVED = """
import time as real
from tests.camera.simulated_time import SimulatedTime
clock, started = SimulatedTime(1_000_000.0), real.perf_counter()
clock.install()
import asyncio, queue, threading, time

told, q, over = [], queue.Queue(), threading.Event()

def tell(name, step, count):
    for _ in range(count):
        time.sleep(step)
        told.append((round(time.monotonic() - 1000, 1), name))
    q.put(name)

def drain():
    while not over.is_set():
        try:
            got = q.get(timeout=7200)
            told.append((round(time.monotonic() - 1000, 1), "got " + got))
        except queue.Empty:
            told.append((round(time.monotonic() - 1000, 1), "nothing"))
            return

async def page():
    for _ in range(3):
        await asyncio.sleep(3600)
        told.append((round(time.monotonic() - 1000, 1), "page"))
    await asyncio.to_thread(time.sleep, 60)
    return 7

threads = [threading.Thread(target=tell, args=("a", 1000, 3)), threading.Thread(target=tell, args=("b", 1800.04, 2)),
           threading.Thread(target=drain)]
for thread in threads:
    thread.daemon = True
    thread.start()
assert asyncio.run(page()) == 7
for thread in threads:
    thread.join(1e6)
assert told == sorted(told, key=lambda one: one[0]), told
print(sorted(told))
lock = threading.Condition()
with lock:
    before = time.monotonic()
    assert not lock.wait(0) and time.monotonic() == before
    assert not lock.wait_for(lambda: False, 100)
    assert abs(time.monotonic() - before - 100) < 0.2
print(round(time.time() - 1_000_000), "s in", real.perf_counter() - started)
assert real.perf_counter() - started < 20
"""


def test_each_wait_takes_its_time_and_hours_take_none() -> None:
    done = subprocess.run([sys.executable, "-c", _LIVED], capture_output=True, text=True, timeout=100,
                          cwd=Path(__file__).parents[2])  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    expected = [
        *((1000.0, "a"), (1800.1, "b"), (2000.0, "a"), (3000.0, "a"), (3000.0, "got a"), (3600.0, "page")),
        *((3600.2, "b"), (3600.2, "got b"), (7200.0, "page"), (10800.0, "page"), (10800.2, "nothing")),
    ]
    assert done.stdout.splitlines()[0] == repr(expected)
    assert int(done.stdout.splitlines()[1].split()[0]) == pytest.approx(10960, abs=2)
