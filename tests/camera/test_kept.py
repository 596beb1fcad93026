"""The command itself, killed, filled, deleted and run twice: every event that was told is kept, or counted as lost.

`python -m pytest -s -m slow tests/camera/test_kept.py` prints the figures.
"""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit.camera.store.avi import read_avi
from tests.camera.test_store import rows_of

pytestmark = pytest.mark.slow

_ENOUGH = 60.0  # seconds
STRIP = "zones=[{name='strip',use='watch',points=[[0.45,0],[0.55,0],[0.55,1],[0.45,1]]}]"  # through which they fly
BUSY = (STRIP, "visits.min_score=0.3", "visits.threshold=0.3", "visits.end_after=0.05", "visits.cooldown=0",
        "visits.update_every=0.1", "visits.pre_roll=0.3", "visits.post_roll=0.3", "track.hits=1",
        "track.lost_after=0.06", "model.threads=1", "store.reserve_mb=1")  # fmt: skip
RUN = "import sys; from edgekit.cli.app import run; sys.exit(run(sys.argv[1:]))"


def command(store: Path, *changes: str) -> list[str]:
    """A camera that tells some events a second, and a visit every other second."""
    words = [sys.executable, "-c", RUN, "camera", "--source", "synthetic://hive?seed=1&fps=20", "--model",
             "centernet-tiny", "--json-lines"]  # fmt: skip
    for change in (*BUSY, f"store.folder={store}", *changes):
        words += ["--set", change]
    return words


class Running:
    """The command, its lines in a file."""

    def __init__(self, out: Path, store: Path, *changes: str) -> None:
        self.out, self.err = out.with_suffix(".jsonl"), out.with_suffix(".err")
        with self.out.open("ab") as lines, self.err.open("ab") as errors:
            self.process = subprocess.Popen(command(store, *changes), stdout=lines, stderr=errors)

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop(signal.SIGKILL)

    def told(self) -> list[dict[str, Any]]:
        return told_in(self.out)

    def wait(self, true: Callable[[], bool]) -> None:
        end = time.monotonic() + _ENOUGH
        while not true():
            assert time.monotonic() < end, self.err.read_text()
            assert self.process.poll() is None, self.err.read_text()
            time.sleep(0.02)

    def wait_told(self, number: int) -> None:
        self.wait(lambda: len(self.told()) >= number)

    def stop(self, number: int = signal.SIGTERM) -> str:
        self.process.send_signal(number)
        self.process.wait(_ENOUGH)
        return self.err.read_text()


def told_in(path: Path) -> list[dict[str, Any]]:
    lines = path.read_bytes().split(b"\n")[:-1]  # a kill may leave half of the last one
    return [json.loads(line) for line in lines if line]


def missing(told: list[dict[str, Any]], kept: dict[int, dict[str, Any]]) -> list[int]:
    """Numbers of events that were told and are not kept as they were."""
    same = ("id", "type", "start", "last_seen", "count")
    return [e["seq"] for e in told if not all(kept.get(e["seq"], {}).get(key) == e[key] for key in same)]


def figures(told: list[dict[str, Any]], kept: dict[int, dict[str, Any]]) -> str:
    return f"{len(told)} told, {len(kept)} kept, {len(missing(told, kept))} missing"


def visits_of(store: Path) -> list[dict[str, Any]]:
    db = sqlite3.connect(store / "visits.db")
    found = [json.loads(row[0]) for row in db.execute("SELECT event FROM visits ORDER BY first")]
    db.close()
    return found


def test_two_processes_on_one_store(tmp_path: Path) -> None:
    store = tmp_path / "store"
    (tmp_path / "link").symlink_to("store")
    with Running(tmp_path / "first", store, "visits.clip=true") as first:
        first.wait_told(5)
        second = subprocess.run(
            command(tmp_path / "link"), capture_output=True, text=True, timeout=_ENOUGH, check=False
        )
        assert second.returncode == 5
        assert f"process {first.process.pid} keeps its visits there" in second.stderr
        assert second.stdout == ""
        first.wait_told(len(first.told()) + 5)
        first.stop()
    told, kept = first.told(), rows_of(store)
    print(f"two processes: the second exits with 5; {figures(told, kept)}")
    assert missing(told, kept) == []
    assert "crash" not in {event["end_reason"] for event in kept.values()}


def test_a_store_deleted_under_way(tmp_path: Path) -> None:
    store = tmp_path / "store"
    with Running(tmp_path / "camera", store) as camera:
        camera.wait_told(20)
        shutil.rmtree(store)
        camera.wait_told(len(camera.told()) + 20)
        said = camera.stop()
    told, kept = camera.told(), rows_of(store)
    gone = missing(told, kept)
    lost = int(said.split(" events of ")[0].rsplit(" ", 1)[1])
    print(f"deleted under way: {len(told)} told, {len(kept)} kept, {lost} counted as lost, "
          f"{len(gone) - lost} unexplained")  # fmt: skip
    assert len(gone) == lost
    assert gone == list(range(1, lost + 1))


def test_thirty_kills(tmp_path: Path) -> None:
    """A kill at any moment; after the next start no ended visit names a clip that isn't there, or half of one."""
    store, kills = tmp_path / "store", 30
    for number in range(kills):
        with Running(tmp_path / "camera", store, "visits.clip=true") as camera:
            camera.wait_told(len(camera.told()) + 4 + number % 7)
            time.sleep(number * 0.037 % 0.5)
            camera.stop(signal.SIGKILL)
    with Running(tmp_path / "camera", store, "visits.clip=true") as camera:
        camera.wait_told(len(camera.told()) + 5)
        camera.stop()
    told, kept, visits = camera.told(), rows_of(store), visits_of(store)
    clips = [visit["clip"]["path"] for visit in visits if visit["clip"]]
    absent = [path for path in clips if not (store / path).is_file()]
    for path in clips:
        if path not in absent:
            assert all(jpeg[:2] == b"\xff\xd8" and jpeg[-2:] == b"\xff\xd9" for jpeg in read_avi(store / path)[1])
    crashes = [visit for visit in visits if visit["end_reason"] == "crash"]
    named = sum(bool(visit["clip"]) for visit in crashes)
    print(f"{kills} kills: {figures(told, kept)}; {len(visits)} ended visits, {len(crashes)} of them by a kill; "
          f"{len(clips)} name a clip ({named} of the killed), {len(absent)} of these is not there")  # fmt: skip
    assert missing(told, kept) == []
    assert absent == []
    assert {visit["type"] for visit in visits} == {"end"}
    assert len(crashes) > kills / 3
    for kind in ("snapshot", "clip"):
        paths = {v[kind]["path"] for v in visits if v[kind]}
        assert {p.relative_to(store).as_posix() for p in (store / f"{kind}s").rglob("*.*")} >= paths


FILLED = """
mount -t tmpfs -o size=10m none "$1" || exit 77
shift; out=$1; shift
touch $out.jsonl
"$@" > $out.jsonl 2> $out.err &
camera=$!
lines() { grep -c seq $out.jsonl; }
told() { while [ "$(lines)" -lt "$1" ]; do kill -0 $camera || exit 3; sleep 0.1; done; }
told 100
dd if=/dev/zero of="$DISK/filled" bs=64k 2> /dev/null
told $(($(lines) + 100))
rm "$DISK/filled"
told $(($(lines) + 40))
kill -TERM $camera; wait $camera
cp -r "$DISK/store" $out.store
"""


def test_a_disk_filled_by_another_program(tmp_path: Path) -> None:
    disk, out = tmp_path / "disk", tmp_path / "camera"
    disk.mkdir()
    words = ["unshare", "-Urm", "bash", "-c", FILLED, "bash", str(disk), str(out), *command(disk / "store")]
    done = subprocess.run(words, env={**os.environ, "DISK": str(disk)}, timeout=4 * _ENOUGH, check=False)
    if done.returncode in (1, 77):
        pytest.skip("no file system can be mounted here")
    said = out.with_suffix(".err").read_text()
    assert done.returncode == 0, said
    told, kept = told_in(out.with_suffix(".jsonl")), rows_of(out.with_suffix(".store"))
    visits = visits_of(out.with_suffix(".store"))
    pictures = sum(bool(visit["snapshot"]) for visit in visits)
    print(f"disk filled by another program: {figures(told, kept)}; "
          f"{pictures} of {len(visits)} visits have their picture\n{said}")  # fmt: skip
    assert missing(told, kept) == []
    assert "pictures are not kept: less than 1 MB" in said
    assert "can be kept again" in said
    assert any(line.startswith("events ") and "pictures" in line for line in said.splitlines())
    named = {visit["snapshot"]["path"] for visit in visits if visit["snapshot"]}
    there = out.with_suffix(".store") / "snapshots"
    assert {p.relative_to(there.parent).as_posix() for p in there.rglob("*.jpg")} == named
