"""Whether a camera that runs for a season grows or wears out its SD card: memory, descriptors, threads, bytes written.

    python benchmarks/soak.py MODEL --out soak.json [--hours 1] [--fps 2] [--busy]

Starts `edgekit camera` in a process of its own, with the page on, at the made hive (`--busy`: with hornets and clips;
else nobody comes), and reads /proc once a minute, as well as the page's status, as a viewer would. Growth of the
resident memory is the slope of a straight line from the tenth minute on; bytes are those that the process gave to the
block layer (`write_bytes`, proc(5)), and what the store's folder holds.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np

_EVERY = 60.0  # seconds between two looks
_WARM = 600.0  # seconds until growth counts
_CHILD = "import sys; sys.modules['torch'] = None; from edgekit.cli.app import main; main()"


def reading(pid: int, began: float) -> dict[str, float]:
    """What the kernel says of a process now."""
    proc = Path(f"/proc/{pid}")
    status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines() if ":" in line)
    io = dict(line.split(": ") for line in (proc / "io").read_text().splitlines())
    return {
        "s": round(time.monotonic() - began, 1),
        "rss_kb": int(status["VmRSS"].split()[0]),
        "threads": int(status["Threads"]),
        "fds": len(list((proc / "fd").iterdir())),
        "written": int(io["write_bytes"]),
        "cpu_s": sum(int(x) for x in (proc / "stat").read_text().rpartition(")")[2].split()[11:13])
        / os.sysconf("SC_CLK_TCK"),
    }


def judged(readings: list[dict[str, float]]) -> dict[str, Any]:
    """What the readings say, per hour and per day."""
    warm = [r for r in readings if r["s"] >= min(_WARM, readings[-1]["s"] / 3)]
    hours = np.array([r["s"] for r in warm]) / 3600
    growth = float(np.polyfit(hours, [r["rss_kb"] / 1024 for r in warm], 1)[0]) if len(warm) > 2 else None
    span = (warm[-1]["s"] - warm[0]["s"]) / 86400 if len(warm) > 1 else 0
    return {
        "seconds": readings[-1]["s"],
        "rss_mb_first": round(warm[0]["rss_kb"] / 1024, 1),
        "rss_mb_last": round(warm[-1]["rss_kb"] / 1024, 1),
        "rss_growth_mb_per_hour": None if growth is None else round(growth, 3),
        "fds": sorted({r["fds"] for r in warm}),
        "threads": sorted({r["threads"] for r in warm}),
        "written_mb_per_day": round((warm[-1]["written"] - warm[0]["written"]) / 1e6 / span, 1) if span else None,
        "cpu_share": round((warm[-1]["cpu_s"] - warm[0]["cpu_s"]) / max(1e-9, warm[-1]["s"] - warm[0]["s"]), 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--hours", type=float, default=1)
    parser.add_argument("--fps", type=float, default=2)
    parser.add_argument("--busy", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = f"synthetic://hive?seed=1&fps=10&hornets={int(options.busy)}"
        keys = {"source.uri": source, "store.folder": folder, "web.port": "0", "rate.fps": options.fps,
                "model.threads": 1, "visits.clip": str(options.busy).lower(), "store.quota_mb": 200,
                "visits.labels": '["hornet"]'}  # fmt: skip
        command = [sys.executable, "-c", _CHILD, "camera", "--model", options.model, "--web"]
        for key, value in keys.items():
            command += ["--set", f"{key}={value}"]
        log = options.out.with_suffix(".log").open("w")
        child = subprocess.Popen(command, stdout=log, stderr=log)
        began, readings = time.monotonic(), []
        page = ""
        try:
            while child.poll() is None and time.monotonic() - began < options.hours * 3600 + 1:
                time.sleep(min(_EVERY, 5.0 if not page else _EVERY))
                text = options.out.with_suffix(".log").read_text()
                page = page or next((w.rstrip(".") for w in text.split() if w.startswith("http://")), "")
                if page:
                    with urllib.request.urlopen(page.rstrip("/") + "/api/status", timeout=10) as answer:
                        status = json.load(answer)
                readings.append(reading(child.pid, began))
                found = {"command": command[3:], **judged(readings), "status": status if page else None}
                options.out.write_text(json.dumps({**found, "readings": readings}, indent=1))
        finally:
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
            child.wait(30)
    print(json.dumps({key: value for key, value in found.items() if key != "status"}))


if __name__ == "__main__":
    main()
