"""Whether a camera that runs for a season grows or wears out its SD card: memory, descriptors, threads, bytes written.

    python benchmarks/soak.py MODEL --out soak.json [--hours 1] [--fps 2] [--busy]

Serves the pictures of the made hive as an HTTP camera does, ten a second, and starts `edgekit camera` before it in a
process of its own, with the page on, which is asked how it is once a minute, as by a viewer. Nobody comes; `--busy`: a
hornet for half a minute in every five, with clips. /proc is read every ten seconds.

Growth is the median slope of all pairs of readings from the second half (Theil and Sen), with the interval that holds
95 % of the slopes between blocks of five minutes drawn with replacement. Bytes are those that the process gave to the
block layer (`write_bytes`, proc(5)), as many a day as in the second half: an hour of clips says nothing of a day, whose
clips have a bound. A day in minutes is `python -m tests.camera.day`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgekit.data import HIVE_CLASSES, HiveClip

_EVERY, _ASKED = 10.0, 60.0  # seconds between two readings, and between two questions to the page
_BLOCK = 300.0  # seconds of readings that are drawn together
_PERIOD, _STAYS = 300.0, 30.0  # seconds between two visits of a busy hive, and how long one is
_FPS, _FRAMES = 10.0, 300
_CHILD = "import sys; sys.modules['torch'] = None; from edgekit.cli.app import main; main()"
Readings = list[dict[str, float]]


class HttpHive:
    """The made hive as MJPEG on a port of its own: its pictures are made once, and come again and again."""

    def __init__(self, busy: bool) -> None:
        bees, raid = HiveClip(1, _FPS, hornets=False), HiveClip(1, _FPS)
        self._nobody = [self._jpeg(bees, i) for i in range(_FRAMES)]
        self._hornets = [self._jpeg(raid, i) for i in range(_FRAMES) if busy and _hornets(raid, i)]
        self._began = time.monotonic()
        hive = self

        class Camera(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=mark")
                self.end_headers()
                for number in itertools.count():
                    data = hive._picture(number)
                    try:
                        self.wfile.write(b"--mark\r\nContent-Type: image/jpeg\r\n\r\n" + data + b"\r\n")
                    except OSError:
                        return
                    time.sleep(1 / _FPS)

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Camera)
        self._server.daemon_threads = True
        self.uri = f"http://127.0.0.1:{self._server.server_port}/stream"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _picture(self, number: int) -> bytes:
        somebody = (time.monotonic() - self._began) % _PERIOD > _PERIOD - _STAYS
        chosen = self._hornets if somebody and self._hornets else self._nobody
        return chosen[number % len(chosen)]

    @staticmethod
    def _jpeg(clip: HiveClip, number: int) -> bytes:
        return bytes(cv2.imencode(".jpg", clip.frame(number).frame)[1])


def _hornets(clip: HiveClip, number: int) -> bool:
    return HIVE_CLASSES.index("hornet") in clip.frame(number).labels


def reading(pid: int, began: float) -> dict[str, float]:
    """What the kernel says of a process now."""
    proc = Path(f"/proc/{pid}")
    rollup = {line.split()[0]: line.split()[1] for line in (proc / "smaps_rollup").read_text().splitlines()[1:]}
    io = dict(line.split(": ") for line in (proc / "io").read_text().splitlines())
    return {
        "s": round(time.monotonic() - began, 1),
        "rss_kb": int(rollup["Rss:"]),
        "uss_kb": int(rollup["Private_Clean:"]) + int(rollup["Private_Dirty:"]),
        "threads": len(list((proc / "task").iterdir())),
        "fds": len(list((proc / "fd").iterdir())),
        "written": int(io["write_bytes"]),
        "cpu_s": sum(int(x) for x in (proc / "stat").read_text().rpartition(")")[2].split()[11:13])
        / os.sysconf("SC_CLK_TCK"),
    }


def slope(readings: Readings, key: str) -> tuple[float, float, float]:
    """MB an hour of `key`, in kilobytes, and the ends of its 95 % interval."""
    hours, mb = (np.array([r[name] for r in readings]) / by for name, by in (("s", 3600), (key, 1024)))
    blocks = ((hours - hours[0]) * 3600 // _BLOCK).astype(int)
    rng, drawn = np.random.default_rng(0), []
    for _ in range(200):
        chosen = np.concatenate(
            [np.nonzero(blocks == b)[0] for b in rng.integers(0, blocks.max() + 1, blocks.max() + 1)]
        )
        drawn.append(_theil_sen(hours[chosen], mb[chosen]))
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return _theil_sen(hours, mb), float(low), float(high)


def _theil_sen(x: Any, y: Any) -> float:
    first, second = np.triu_indices(len(x), 1)
    apart = x[second] != x[first]
    return float(np.median((y[second] - y[first])[apart] / (x[second] - x[first])[apart])) if apart.any() else np.nan


def judged(readings: Readings) -> dict[str, Any]:
    """What the readings say, per hour and per day."""
    late = [r for r in readings if r["s"] >= readings[-1]["s"] / 2]
    span = (late[-1]["s"] - late[0]["s"]) / 86400
    if span <= 0:
        return {}
    return {
        "seconds": readings[-1]["s"],
        "counted_from": late[0]["s"],
        "rss_mb": [round(r["rss_kb"] / 1024, 1) for r in (late[0], late[-1])],
        "uss_mb": [round(r["uss_kb"] / 1024, 1) for r in (late[0], late[-1])],
        "rss_mb_per_hour": [round(v, 2) for v in slope(late, "rss_kb")],
        "uss_mb_per_hour": [round(v, 2) for v in slope(late, "uss_kb")],
        "fds": sorted({r["fds"] for r in late}),
        "threads": sorted({r["threads"] for r in late}),
        "written_mb_per_day": round((late[-1]["written"] - late[0]["written"]) / 1e6 / span, 1),
        "cpu_share": round((late[-1]["cpu_s"] - late[0]["cpu_s"]) / (86400 * span), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--hours", type=float, default=1)
    parser.add_argument("--fps", type=float, default=2)
    parser.add_argument("--busy", action="store_true")
    options = parser.parse_args()
    hive, said = HttpHive(options.busy), options.out.with_suffix(".log")
    with tempfile.TemporaryDirectory() as folder, said.open("w") as log:
        keys = {
            "source.uri": hive.uri,
            "store.folder": folder,
            "web.port": "0",
            "rate.fps": options.fps,
            "model.threads": 1,
            "visits.clip": str(options.busy).lower(),
            "visits.labels": '["hornet"]',
        }
        command = [sys.executable, "-c", _CHILD, "camera", "--model", options.model, "--web"]
        for key, value in keys.items():
            command += ["--set", f"{key}={value}"]
        child = subprocess.Popen(command, stdout=log, stderr=log)
        began, readings, page, asked, status = time.monotonic(), Readings(), "", 0.0, {}
        try:
            while child.poll() is None and time.monotonic() - began < options.hours * 3600 + 1:
                time.sleep(_EVERY)
                lines = said.read_text().splitlines()
                page = page or next((line.split()[1] for line in lines if line.startswith("page: ")), "")
                if page and time.monotonic() - asked >= _ASKED:
                    asked = time.monotonic()
                    with urllib.request.urlopen(page.rstrip("/") + "/api/status", timeout=10) as answer:
                        status = json.load(answer)
                readings.append(reading(child.pid, began))
                found = {"command": command[3:], **judged(readings)}
                options.out.write_text(json.dumps({**found, "status": status, "readings": readings}, indent=1))
        finally:
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
            child.wait(30)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
