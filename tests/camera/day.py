"""A day of a camera in minutes: `python -m tests.camera.day [--hours 24] [--visits 90] [--clips] [--out FILE]`.

The whole of a camera in one process: a live source, a detector that knows what was painted, tracks, visits, the store
with pictures and clips, a webhook that takes every event, and the page, which is asked four things a minute. Visits of
5 to 60 seconds come between 7 and 19 o'clock, and nobody at night; of fewer hours all are day. Time is that of
`simulated_time`.

What the kernel says of the process is read once a simulated minute. It prints what came of it as JSON. `--plant` shows
that it would be seen: memory, a thread or a file that each event leaves behind.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import datetime
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.camera.simulated_time import SimulatedTime

if TYPE_CHECKING:
    from edgekit.camera.runtime import Camera

_DAWN, _DUSK = 7, 19  # o'clock, between which somebody comes
_LOOK = 60.0  # seconds between two readings
_ASKED = ("api/status", "api/today", "api/counts", "api/visits")
_LEFT = 200_000  # bytes that a planted leak keeps of each event
_RECEIVER = """
from http.server import BaseHTTPRequestHandler, HTTPServer
class Takes(BaseHTTPRequestHandler):
    count = 0
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        Takes.count += 1
        self.send_response(200)
        self.end_headers()
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(Takes.count).encode())
    def log_message(self, *_):
        return
server = HTTPServer(("127.0.0.1", 0), Takes)
print(server.server_port, flush=True)
server.serve_forever()
"""
Readings = list[dict[str, float]]


def visits_of(count: int, hours: float, seed: int = 5) -> list[tuple[float, float]]:
    """Begin and end of visits, in seconds since the day began, one after the other."""
    import numpy as np

    rng = np.random.default_rng(seed)
    first, last = (_DAWN * 3600, _DUSK * 3600) if hours >= 24 else (60, hours * 3600 - 120)
    room = (last - first) / max(1, count) - 65
    begins = np.linspace(first, last, count, endpoint=False) + rng.uniform(0, max(0.0, room), count)
    return [(float(begin), float(begin + rng.uniform(5, 60))) for begin in begins]


def kernel() -> dict[str, float]:
    """What it says of this process, and how many blocks Python's own objects take."""
    own = Path("/proc/self")
    memory = {w[0]: int(w[1]) for w in map(str.split, (own / "smaps_rollup").read_text().splitlines()[1:])}
    io = dict(line.split(": ") for line in (own / "io").read_text().splitlines())
    return {
        "rss_kb": memory["Rss:"],
        "uss_kb": memory["Private_Clean:"] + memory["Private_Dirty:"],
        "threads": len(list((own / "task").iterdir())),
        "fds": len(list((own / "fd").iterdir())),
        "written": int(io["write_bytes"]),
        "blocks": sys.getallocatedblocks(),
    }


def answer_of(port: int, path: str) -> bytes:
    """What an address on this machine says."""
    with contextlib.closing(HTTPConnection("127.0.0.1", port, timeout=60)) as link:
        link.request("GET", f"/{path}")
        return link.getresponse().read()


def planted(what: list[str]) -> Callable[[Any], None]:
    """A listener that leaves something behind at each event."""
    kept: list[Any] = []

    def listen(_: Any) -> None:
        if "memory" in what:
            kept.append(bytearray(_LEFT))
        if "file" in what:
            kept.append(os.open("/dev/null", os.O_RDONLY))
        if "thread" in what:
            threading.Thread(target=threading.Event().wait, daemon=True).start()

    return listen


def hive_of(clock: SimulatedTime, visits: list[tuple[float, float]], fps: float) -> Any:
    """A live source: in each visit a hornet is there; every frame is new memory."""
    from edgekit.camera.source.grabber import Grabber
    from tests.camera.scenes import FRAMES, painted

    began = clock.now

    class Hive(Grabber):
        number = 0

        def read(self) -> Any:
            time.sleep(1 / fps)
            now, self.number = clock.now - began, self.number + 1
            somebody = any(begin <= now < end for begin, end in visits)
            return painted(int(somebody))[self.number % FRAMES][0].copy()

        def close(self) -> None:
            return

    return Hive()


def camera_of(clock: SimulatedTime, options: argparse.Namespace, folder: Path, port: int, said: list[str]) -> Camera:
    """The camera whose day it is; its webhook posts to `port`."""
    from edgekit.camera.runtime import Camera
    from edgekit.memory import few_arenas
    from tests.camera.conftest import config_of, model_of
    from tests.camera.scenes import PaintedDetector

    few_arenas()  # as `edgekit camera` does
    config = config_of(
        "source.uri=http://127.0.0.1:1/hive", f"rate.fps={options.fps}", f"store.folder={folder}",
        f"visits.clip={str(options.clips).lower()}", 'visits.labels=["hornet"]',
        f"track.lost_after={2.5 / options.fps}",
        f"deliver.webhook.url=http://127.0.0.1:{port}/", "web.port=0", *options.set,
    )  # fmt: skip
    hive = hive_of(clock, visits_of(options.visits, options.hours), options.fps)
    listeners = (planted(options.plant),) if options.plant else ()
    model = model_of(PaintedDetector((0, 3), (1, 3)))
    return Camera(config, model, opener=lambda *_: hive, say=said.append, listeners=listeners)


def lived(clock: SimulatedTime, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """The day; what came of it."""
    from edgekit.camera.web import numbers
    from edgekit.camera.web.server import Page

    class Today(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return cls.fromtimestamp(clock.wall(), tz)

    vars(numbers)["datetime"] = Today  # whose own `now` is C
    said: list[str] = []
    over, noted = threading.Event(), folder.with_suffix(".readings")  # in memory they would be the growth
    with subprocess.Popen([sys.executable, "-c", _RECEIVER], stdout=subprocess.PIPE, text=True) as receiver:
        assert receiver.stdout is not None
        port = int(receiver.stdout.readline())
        camera = camera_of(clock, options, folder, port, said)
        page, began = Page(camera, said.append), clock.now
        camera.watch(page.part)
        page.start()

        def look() -> None:
            while not over.wait(_LOOK):
                assert all(answer_of(page.port, path) for path in _ASKED)
                with noted.open("a") as lines:
                    print(json.dumps({"hour": round((clock.now - began) / 3600, 4), **kernel()}), file=lines)

        threading.Thread(target=look, daemon=True).start()
        try:
            camera.run(options.hours * 3600)
        finally:
            over.set()
            page.stop()
        posted = int(answer_of(port, ""))
        receiver.terminate()
    with contextlib.closing(sqlite3.connect(folder / "visits.db")) as db:
        tables = ("visits", "events", "outbox", "counts", "watched")
        rows = {table: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}
    readings = [json.loads(line) for line in noted.read_text().splitlines()]
    return {
        **judged(readings),
        "hours": options.hours,
        "came": options.visits,
        "looks": camera.lookout.health.inferred,
        "events": camera.writer.events,
        "posted": posted,
        "rows": rows,
        "dropped": {name: number for name, number in camera.writer.dropped.items() if number},
        "restarts": {part["name"]: part["restarts"] for part in camera.watcher.status() if part["restarts"]},
        "kept_mb": {kind: _size(folder / kind) for kind in ("snapshots", "plain", "clips")},
        "said": said,
        "processor_s": round(time.process_time()),
        "readings": readings,
    }


def _size(folder: Path) -> float:
    return round(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6, 1)


def judged(readings: Readings) -> dict[str, Any]:
    """Of the second half the growth an hour (the median slope of all pairs) and what was open; of all the bytes."""
    import numpy as np

    late = readings[len(readings) // 2 :]
    hours = np.array([r["hour"] for r in late])
    first, second = np.triu_indices(len(late), 1)

    def growth(key: str, unit: float) -> float:
        values = np.array([r[key] for r in late]) / unit
        return round(float(np.median((values[second] - values[first]) / (hours[second] - hours[first]))), 3)

    return {
        "rss_mb": [round(r["rss_kb"] / 1024, 1) for r in (readings[0], late[0], late[-1])],
        "rss_mb_per_hour": growth("rss_kb", 1024),
        "uss_mb_per_hour": growth("uss_kb", 1024),
        "blocks_per_hour": round(growth("blocks", 1)),
        "fds": sorted({r["fds"] for r in late}),
        "threads": sorted({r["threads"] for r in late}),
        "written_mb": round((readings[-1]["written"] - readings[0]["written"]) / 1e6, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=24)
    parser.add_argument("--visits", type=int, default=90)
    parser.add_argument("--clips", action="store_true")
    parser.add_argument("--fps", type=float, default=1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--plant", action="append", default=[], choices=("memory", "thread", "file"))
    options = parser.parse_args()
    midnight = datetime.now().replace(hour=0, minute=0, second=0, microsecond=0)
    clock = SimulatedTime(midnight.timestamp())
    clock.install()
    with tempfile.TemporaryDirectory() as folder:
        found = lived(clock, options, Path(folder) / "store")
    if options.out:
        options.out.write_text(json.dumps(found, indent=1))
    print(json.dumps({key: value for key, value in found.items() if key != "readings"}))


if __name__ == "__main__":
    main()
