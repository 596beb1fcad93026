"""The broker is down for an hour and the process is killed meanwhile: everything arrives, in order, from little memory.

`python -m pytest -s -m slow tests/camera/test_hour.py` prints the figures; a second is two minutes there.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.camera.broker import Listener, Mosquitto
from tests.camera.conftest import wait_for
from tests.camera.test_store import rows_of


class Telling:
    """`tests.camera.telling` in a process of its own."""

    def __init__(self, out: Path, store: Path, port: int, events: int, seconds: float, speed: float) -> None:
        self._out, self._err = out.with_suffix(".out"), out.with_suffix(".err")
        words = [sys.executable, "-m", "tests.camera.telling", store, port, events, seconds, speed]
        with self._out.open("wb") as told, self._err.open("wb") as said:
            self._process = subprocess.Popen([str(word) for word in words], stdout=told, stderr=said,
                                             cwd=Path(__file__).parents[2], env=os.environ)  # fmt: skip

    @property
    def told(self) -> list[int]:
        return [int(line) for line in self._out.read_bytes().split(b"\n")[:-1]]

    @property
    def said(self) -> str:
        return self._err.read_text()

    def end(self, number: int) -> None:
        if self._process.poll() is None:
            self._process.send_signal(number)
        self._process.wait(30)


@pytest.mark.slow
def test_the_broker_is_down_and_the_process_is_killed(tmp_path: Path) -> None:
    """Half of the time before the kill, half after it; at 120 seconds a second 15 are half an hour."""
    events, seconds = 720, 15.0
    store, broker = tmp_path / "store", Mosquitto(tmp_path)
    broker.kill()
    first = Telling(tmp_path / "first", store, broker.port, events, seconds, 120)
    second = None
    try:
        wait_for(lambda: len(first.told) >= events, 10 + 2 * seconds)
        first.end(signal.SIGKILL)
        second = Telling(tmp_path / "second", store, broker.port, events, seconds, 120)
        wait_for(lambda: len(second.told) >= events, 10 + 2 * seconds)
        broker.start()
        listener, back = Listener(broker.port, "edgekit/+/+/events"), time.monotonic()

        def arrived() -> list[tuple[int, str]]:
            return [(event["seq"], event["id"]) for event in map(json.loads, listener.of("/events"))]

        kept = rows_of(store)
        wait_for(lambda: {seq for seq, _ in arrived()} >= set(kept), 60)
        took = time.monotonic() - back
        second.end(signal.SIGTERM)
        listener.close()
    finally:
        first.end(signal.SIGKILL)
        if second is not None:
            second.end(signal.SIGKILL)
        broker.kill()
    more = int(second.said.rpartition("resident ")[2].split()[0])
    came = arrived()
    lost = set(first.told + second.told) - {seq for seq, _ in came}
    print(f"{len(first.told) + len(second.told)} told, {len(lost)} lost, {len(came) - len(set(came))} twice, all there "
          f"{took:.1f} s after the broker; resident {more} kB more")  # fmt: skip
    assert lost == set()
    assert set(first.told + second.told) <= set(kept)
    for ident in {ident for _, ident in came}:
        numbers = [seq for seq, one in came if one == ident]
        assert numbers == sorted(numbers)
    assert more <= 5_000
