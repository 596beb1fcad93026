"""A camera on a small disk of its own to which something happens: `unshare -Urm python disasters.py SCENARIO`.

Prints a JSON line of what was told, kept and lost, and how long after the relief it was ready again. Run as root of a
namespace of its own, where a tmpfs can be mounted, filled and made read-only.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgekit.camera.deliver.command import Command
from edgekit.camera.runtime import Camera
from tests.camera.conftest import SpotDetector, config_of, model_of
from tests.camera.test_watched import Moving

_LASTS = 12.0  # seconds of the fault


def full(folder: Path) -> Callable[[], None]:
    filler = folder / "somebody_elses"
    try:
        with filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 16))
    except OSError:
        pass
    return filler.unlink


def deleted(folder: Path) -> Callable[[], None]:
    shutil.rmtree(folder / "store")
    return lambda: None


def read_only(folder: Path) -> Callable[[], None]:
    """Over the folder the same one is mounted read-only: what is open stays so, and nothing else can be written."""
    subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
    return lambda: _unmount(folder)


def _unmount(folder: Path) -> None:
    """Tries again while somebody has a file of it open."""
    for _ in range(100):
        done = subprocess.run(["umount", str(folder)], capture_output=True, text=True)
        if done.returncode == 0:
            return
        time.sleep(0.05)
    raise AssertionError(done.stderr)


def locked(folder: Path) -> Callable[[], None]:
    other = sqlite3.connect(folder / "store" / "visits.db", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    return other.close


def damaged(folder: Path) -> Callable[[], None]:
    with (folder / "store" / "visits.db").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xa5" * 16384)
    return lambda: None


SCENARIOS = {fault.__name__: fault for fault in (full, deleted, read_only, locked, damaged)}


def main(name: str) -> None:
    folder = Path(tempfile.mkdtemp())
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], check=True)
    told, sent, said = [], [], []
    Command.send = lambda _, event: sent.append(event["seq"])  # type: ignore[method-assign, assignment]
    config = config_of(
        "source.uri=/dev/video99", f"store.folder={folder}/store", "store.reserve_mb=1", "store.quota_mb=16",
        "visits.end_after=0.5", "visits.cooldown=0", "visits.update_every=0.5", 'deliver.command.run=["/bin/true"]',
    )  # fmt: skip
    camera = Camera(config, model_of(SpotDetector()), opener=lambda *_: Moving(), say=said.append,
                    listeners=(lambda event: told.append(event["seq"]),))  # fmt: skip
    thread = threading.Thread(target=camera.run, daemon=True)
    thread.start()
    time.sleep(4)
    before: dict[str, Any] = {"told": len(told), "sent": len(sent), "looks": camera.lookout.health.inferred}
    relieve = SCENARIOS[name](folder)
    time.sleep(_LASTS)
    meanwhile = {"told": len(told) - before["told"], "sent": len(sent) - before["sent"],
                 "looks": camera.lookout.health.inferred - before["looks"], "why": camera.ready()[1]}  # fmt: skip
    relieve()
    began = time.monotonic()
    while not camera.ready()[0] and time.monotonic() - began < 90:
        time.sleep(0.1)
    ready = time.monotonic() - began
    time.sleep(2)
    camera.stop()
    thread.join(30)
    db = sqlite3.connect(folder / "store" / "visits.db")
    kept = db.execute("SELECT count(*) FROM events").fetchone()[0]
    whole = db.execute("PRAGMA integrity_check").fetchone()[0]
    found = {"ready_after": round(ready, 1), "told": len(told), "sent": len(set(sent)), "kept": kept,
             "integrity": whole, "in_order": told == sorted(set(told)),
             "lost": camera.writer.dropped["events_lost"]}  # fmt: skip
    print(json.dumps({"fault": name, **found, "meanwhile": meanwhile, "said": said}))


if __name__ == "__main__":
    main(sys.argv[1])
