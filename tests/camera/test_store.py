"""The store keeps its quota, survives a kill and a full disk, and says when something is lost."""

import itertools
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from edgekit.camera import store as store_module
from edgekit.camera.config import StoreConfig
from edgekit.camera.reader import Reader
from edgekit.camera.store import Store, crashed
from edgekit.camera.uuid7 import uuid7
from edgekit.errors import OutputError

_seq = itertools.count(1)


def event(ident: str, kind: str = "end", **keys: Any) -> dict[str, Any]:
    return {"id": ident, "seq": next(_seq), "type": kind, "label": "hornet", "start": "2026-08-01T10:00:00.000Z",
            "last_seen": "2026-08-01T10:00:09.000Z", "end": None, "end_reason": None, "count": 1, "snapshot": None,
            "clip": None, **keys}  # fmt: skip


def opened(folder: Path, **keys: Any) -> Store:
    return Store(folder, StoreConfig.model_validate({"reserve_mb": 0, **keys}))


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    store, ident = opened(tmp_path), uuid7()
    store.add(event(ident, "start"))
    store.add(event(ident, "end", count=0))
    store.count([("hornet", 900, 3), ("hornet", 900, 2)], [(900, 4.0), (900, 2.5)])
    reader = Reader(tmp_path)
    assert [v["type"] for v in reader.visits()] == ["end"]
    assert reader.visit(ident) is not None
    assert reader.visit("absent") is None
    assert reader.quarters(0, 2000) == {"hornet": {900: 3}}
    assert reader.watched(0, 2000) == {900: 6.5}
    assert list(reader.days(0, 2000)["hornet"].values()) == [3]
    store.close()
    assert opened(tmp_path).seq == json.loads(json.dumps(reader.visits()[0]))["seq"]


def test_the_newest_come_first_and_pages_follow(tmp_path: Path) -> None:
    store, idents = opened(tmp_path), [uuid7() for _ in range(7)]
    for ident in idents:
        store.add(event(ident))
    reader = Reader(tmp_path)
    first = [v["id"] for v in reader.visits(limit=4)]
    assert first + [v["id"] for v in reader.visits(before=first[-1], limit=4)] == idents[::-1]
    assert reader.visits(label="bee") == []


def test_the_oldest_go_first_when_the_quota_is_full(tmp_path: Path) -> None:
    store, idents = opened(tmp_path, quota_mb=2), [uuid7() for _ in range(40)]
    still = uuid7(1.0)  # older than all, and going on
    store.add(event(still, "start"))
    for ident in idents:
        snapshot = store.keep_file("snapshots", f"{ident}.jpg", os.urandom(100_000), "2026-08-01")
        store.add(event(ident, snapshot=snapshot))
    assert store.used() > 2e6
    assert store.tidy(force=True) > 10
    assert store.used() <= 2e6
    left = [v["id"] for v in Reader(tmp_path).visits(limit=100)][::-1]
    assert still in left
    assert [i for i in left if i != still] == idents[-(len(left) - 1) :]
    assert len(left) > 10
    names = {p.stem for p in (tmp_path / "snapshots").rglob("*.jpg")}
    assert names == set(left) - {still}


def test_the_reserve_of_the_disk_is_left_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = opened(tmp_path, reserve_mb=500)
    monkeypatch.setattr(store, "_free", lambda: 499_000_000)
    assert store.keep_file("snapshots", f"{uuid7()}.jpg", b"x", "2026-08-01") is None
    assert "500 MB" in store.problem
    assert not list(tmp_path.rglob("*.jpg"))


def test_a_full_disk_stops_nothing_and_nothing_is_lost_when_it_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "_RETRY", 0.0)
    store, before = opened(tmp_path), uuid7()
    store.add(event(before))
    pages = store._open_db.execute("PRAGMA page_count").fetchone()[0]
    store._open_db.execute(f"PRAGMA max_page_count = {pages}")  # SQLite's own "database or disk is full"
    idents = [uuid7() for _ in range(30)]
    for ident in idents:
        store.add(event(ident, padding="x" * 2000))
    assert "full" in store.problem
    store._open_db.execute("PRAGMA max_page_count = 1000000")
    store.flush()
    assert store.problem == ""
    assert [v["id"] for v in Reader(tmp_path).visits(limit=100)][::-1] == [before, *idents]


def test_it_starts_on_a_full_disk_and_writes_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "_RETRY", 0.0)
    first, ident = opened(tmp_path), uuid7()
    first.add(event(ident, snapshot=first.keep_file("snapshots", f"{ident}.jpg", b"x" * 1000, "2026-08-01")))
    seq = first.seq
    first.close()
    whole = Store._opened

    def full(_: Store) -> sqlite3.Connection:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(Store, "_opened", full)
    monkeypatch.setattr(Store, "_free", lambda _: 0)
    store = opened(tmp_path)
    assert "disk I/O error" in store.problem
    assert store.seq > seq
    assert not list(tmp_path.rglob("*.jpg"))  # the oldest pictures made room
    later = uuid7()
    store.add(event(later))
    assert (store.unfinished(), store.sweep(), store.tidy(force=True)) == ([], 0, 0)
    monkeypatch.setattr(Store, "_opened", whole)
    store.flush()
    assert store.problem == ""
    assert [v["id"] for v in Reader(tmp_path).visits()] == [later, ident]


def test_what_waits_is_bounded_and_the_loss_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_WAITING", 10)
    store = opened(tmp_path)
    store.problem, store._retry_at = "the disk is full", time.monotonic() + 100
    for _ in range(20):
        store.add(event(uuid7()))
    assert len(store._waiting) == 10
    assert store.lost == 30


def test_files_without_a_visit_are_swept(tmp_path: Path) -> None:
    store, ident = opened(tmp_path), uuid7()
    store.add(event(ident, snapshot=store.keep_file("snapshots", f"{ident}.jpg", b"x", "2026-08-01")))
    store.keep_file("snapshots", f"{uuid7()}.jpg", b"y", "2026-08-01")
    assert store.sweep() == 1
    assert [p.stem for p in tmp_path.rglob("*.jpg")] == [ident]


CHILD = """
import sys
from pathlib import Path
from tests.camera.test_store import event, opened
from edgekit.camera.uuid7 import uuid7
store = opened(Path(sys.argv[1]))
while True:
    ident = uuid7()
    store.keep_file("snapshots", f"{ident}.jpg", b"z" * 20000, "2026-08-01")
    store.add(event(ident, "start", seq=store.seq + 1))
    store.seq += 1
    print(store.seq, flush=True)
"""


def test_a_kill_leaves_everything_that_was_told_and_the_visit_ends_as_a_crash(tmp_path: Path) -> None:
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        assert child.stdout is not None
        told = 0
        for line in child.stdout:
            told = int(line)
            if told % 10 == 0:
                break
        child.send_signal(signal.SIGKILL)
        told = max([told, *(int(line) for line in child.stdout if line.strip().isdigit())])
        child.wait()
        store = opened(tmp_path)
        assert store.seq >= told
        assert store._open_db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        store.sweep()
        for left in store.unfinished():
            store.seq += 1
            store.add(crashed(left, store.seq))
        assert store.unfinished() == []
        last = Reader(tmp_path).visits(limit=1)[0]
        assert (last["type"], last["end_reason"], last["end"]) == ("end", "crash", last["last_seen"])
        store.close()


def test_foreign_and_broken_databases_are_refused(tmp_path: Path) -> None:
    (tmp_path / "visits.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(OutputError, match="cannot be used") as caught:
        opened(tmp_path)
    assert "mv " in str(caught.value.fix)
    (tmp_path / "visits.db").unlink()
    db = sqlite3.connect(tmp_path / "visits.db")
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(OutputError, match="another edgekit"):
        opened(tmp_path)
