"""A process that tells visits, to be killed: `python -m tests.camera.telling FOLDER PORT EVENTS SECONDS SPEED`.

It tells EVENTS events, three a visit, evenly over SECONDS, and waits then until it is ended. For the deliveries'
queue SPEED seconds go by in each second, so that its back-off grows as in hours. Each line on stdout is the number of
an event that was told; `resident N` on stderr is how many kilobytes more than after the first events.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from itertools import count
from pathlib import Path
from types import SimpleNamespace

from edgekit.camera.deliver.queued import queued
from edgekit.camera.event_writer import EventWriter
from edgekit.camera.events.counts import QuarterCounts
from edgekit.camera.events.uuid7 import uuid7
from edgekit.camera.events.visits import VisitEvent
from edgekit.camera.writing.frame_result import FrameResult
from edgekit.camera.writing.recorder import Recorded
from tests.camera.conftest import config_of, found

_WARM = 30  # events until all of the code was used once


def resident() -> int:
    """Kilobytes."""
    line = next(row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith("VmRSS"))
    return int(line.split()[1])


def main(folder: str, port: str, events: str, seconds: str, speed: str) -> None:
    queued.time = SimpleNamespace(monotonic=lambda: float(speed) * time.monotonic())  # type: ignore[attr-defined]
    queued._LOOK = 1.0 / float(speed) if float(speed) > 1 else 1.0
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    config = config_of(f"store.folder={folder}", "store.reserve_mb=0", "deliver.mqtt.host=127.0.0.1",
                       f"deliver.mqtt.port={port}")  # fmt: skip
    writer = EventWriter(config, [Recorded(config, {}, QuarterCounts(), False)],
                         lambda line: print(line, file=sys.stderr), fps=lambda: 10.0,
                         listeners=(lambda event: print(event["seq"], flush=True),))  # fmt: skip
    writer.start()
    base, begun, ident = 0, time.monotonic(), ""
    for number in count():
        kind = ("start", "update", "end")[number % 3]
        ident = uuid7() if kind == "start" else ident
        due = begun + number * float(seconds) / int(events)
        if number == int(events) or over.wait(max(0.0, due - time.monotonic())):
            break
        if number == _WARM:
            base = resident()
        content = {"schema": "edgekit.visit/1", "id": ident, "type": kind, "label": "hornet", "start": "x",
                   "last_seen": "2026-08-01T10:00:00.000Z", "count_max": 1}  # fmt: skip
        event = VisitEvent(kind, ident, "hornet", time.monotonic(), content)  # type: ignore[arg-type]
        writer.put(FrameResult(None, found(), time.monotonic(), (event,)))
    while not over.wait(0.05):
        pass
    print(f"resident {resident() - base}", file=sys.stderr)
    writer.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
