"""A process whose children tell visits and are killed: `python -m tests.camera.dying FOLDER URL TIMES SEED`.

Each child is forked, tells visits with pictures and clips as quickly as it can, posts them to URL, and is killed with
SIGKILL after a moment between 0 and 0.4 s of its first event. What a listener was told is added to FOLDER/told.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from itertools import count
from pathlib import Path

import cv2

from edgekit.camera.deliver.live_view import encode
from edgekit.camera.event_writer import EventWriter
from edgekit.camera.events.counts import QuarterCounts
from edgekit.camera.events.uuid7 import uuid7
from edgekit.camera.events.visits import VisitEvent
from edgekit.camera.writing.frame_result import FrameResult
from edgekit.camera.writing.recorder import Recorded
from tests.camera.conftest import config_of, found, spot

KINDS = ("start", "", "update", "", "end", "", "")  # a visit, frame by frame, and what follows it


def writer_of(folder: Path, url: str) -> EventWriter:
    told = os.open(folder / "told", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    config = config_of(f"store.folder={folder / 'store'}", "store.reserve_mb=0", "visits.clip=true",
                       "visits.pre_roll=0.05", "visits.post_roll=0.05", f"deliver.webhook.url={url}")  # fmt: skip
    return EventWriter(config, [Recorded(config, {}, QuarterCounts(), False)], lambda _: None, fps=lambda: 10.0,
                       listeners=(lambda event: os.write(told, f"{event['seq']}\n".encode()),))  # fmt: skip


def live(folder: Path, url: str) -> None:
    writer = writer_of(folder, url)
    writer.start()
    ident = ""
    for number in count():
        kind, at = KINDS[number % len(KINDS)], time.monotonic()
        ident = uuid7() if kind == "start" else ident
        content = {"schema": "edgekit.visit/1", "id": ident, "type": kind, "label": "hornet", "start": "x", "count": 1,
                   "last_seen": "2026-08-01T10:00:00.000Z", "count_max": 1, "end": None,
                   "end_reason": None}  # fmt: skip
        events = (VisitEvent(kind, ident, "hornet", at, content),) if kind else ()  # type: ignore[arg-type]
        writer.put(FrameResult(spot(40 + number % 60, 50), found(), at, events, (ident,) if kind else ()))
        time.sleep(0.004)


def main(folder: str, url: str, times: str, seed: str) -> None:
    cv2.setNumThreads(1)
    encode(spot(50, 50))
    rng = random.Random(int(seed))
    told = Path(folder) / "told"
    for _ in range(int(times)):
        size = told.stat().st_size if told.exists() else 0
        child = os.fork()
        if not child:
            live(Path(folder), url)
        until = time.monotonic() + 30
        while not (told.exists() and told.stat().st_size > size) and time.monotonic() < until:
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.4))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
