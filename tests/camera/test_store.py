"""The store keeps its quota, survives a kill and a full disk, and says when something is lost."""

import itertools
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from edgekit.camera.config import StoreConfig
from edgekit.camera.events.uuid7 import uuid7
from edgekit.camera.store import locked_database as database_module
from edgekit.camera.store import store as store_module
from edgekit.camera.store.leftovers import crashed
from edgekit.camera.store.reader import Reader
from edgekit.camera.store.store import Store
from edgekit.errors import OutputError

_seq = itertools.count(1)


def event(ident: str, kind: str = "end", **keys: Any) -> dict[str, Any]:
    return {"id": ident, "seq": next(_seq), "type": kind, "label": "hornet", "start": "2026-08-01T10:00:00.000Z",
            "last_seen": "2026-08-01T10:00:09.000Z", "end": None, "end_reason": None, "count": 1, "snapshot": None,
            "clip": None, **keys}  # fmt: skip


def opened(folder: Path, **keys: Any) -> Store:
    return Store(folder, StoreConfig.model_validate({"reserve_mb": 0, **keys}))


class Disk:
    """What `shutil.disk_usage` says is free: `room` bytes, less what is written below `folder` meanwhile."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path | None = None) -> None:
        self.room, self._folder = 10**12, folder
        monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(2 * 10**12, 0, self._left()))

    def _left(self) -> int:
        files = self._folder.rglob("*") if self._folder else ()
        return max(0, self.room - sum(path.stat().st_size for path in files if path.is_file()))


def db_of(store: Store) -> sqlite3.Connection:
    assert store._locked.db is not None
    return store._locked.db


def rows_of(folder: Path) -> dict[int, dict[str, Any]]:
    """The events of a store by their number."""
    db = sqlite3.connect(folder / "visits.db")
    rows = {seq: json.loads(text) for seq, text in db.execute("SELECT seq, event FROM events")}
    db.close()
    return rows


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    store, ident = opened(tmp_path), uuid7()
    store.add(event(ident, "start"))
    store.add(event(ident, "end", count=0))
    store.count("hive", [("hornet", 900, 3), ("hornet", 900, 2)], [(900, 4.0), (900, 2.5)])
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


def test_a_full_disk_stops_nothing_and_nothing_is_lost_when_it_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "_RETRY", 0.0)
    store, before = opened(tmp_path), uuid7()
    store.add(event(before))
    pages = db_of(store).execute("PRAGMA page_count").fetchone()[0]
    db_of(store).execute(f"PRAGMA max_page_count = {pages}")  # SQLite's own "database or disk is full"
    idents = [uuid7() for _ in range(30)]
    for ident in idents:
        store.add(event(ident, padding="x" * 2000))
    assert "full" in store.problem
    db_of(store).execute("PRAGMA max_page_count = 1000000")
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
    free = Disk(monkeypatch)
    free.room = 0
    whole = database_module.open_database

    def full(_: Path) -> sqlite3.Connection:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(database_module, "open_database", full)
    store = opened(tmp_path)
    assert "disk I/O error" in store.problem
    assert store.seq > seq
    assert not list(tmp_path.rglob("*.jpg"))  # the oldest pictures made room
    later = uuid7()
    store.add(event(later, seq=store.next_seq()))
    assert (store.unfinished(), store.sweep(), bool(store.tidy(force=True))) == ([], 0, False)
    monkeypatch.setattr(database_module, "open_database", whole)
    store.flush()
    assert store.problem == ""
    kept = Reader(tmp_path).visits()
    assert [v["id"] for v in kept] == [later, ident]
    assert kept[1]["snapshot"] is None


def test_what_waits_is_bounded_and_the_loss_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgekit.camera.store.pending.unwritten.MOST", 10)
    store = opened(tmp_path)
    store._retry_at = time.monotonic() + 100
    idents = [uuid7() for _ in range(8)]
    for ident in idents:
        store.add(event(ident, "start"))
        store.add(event(ident, "update"))
    assert store.waiting == 10
    assert store.dropped.events_lost == 6
    store.close()
    kept = Reader(tmp_path).visits()
    assert [v["id"] for v in kept] == idents[::-1]  # updates went first
    assert sum(v["type"] == "update" for v in kept) == 2


def test_an_event_never_takes_the_place_of_another(tmp_path: Path) -> None:
    store, first, second = opened(tmp_path), uuid7(), uuid7()
    store.add(event(first, seq=7))
    store.add(event(second, seq=7))
    store.add(event(second, "update", seq=store.next_seq()))
    store.close()
    assert sorted(rows_of(tmp_path)) == [7, 8, 9]
    assert rows_of(tmp_path)[7]["id"] == first


def test_numbers_go_on_when_rows_are_gone(tmp_path: Path) -> None:
    store = opened(tmp_path, quota_mb=0.1)
    for _ in range(100):
        store.add(event(uuid7(), seq=store.next_seq(), padding="x" * 2000))
    assert store.tidy(force=True).visits > 50
    store.close()
    assert opened(tmp_path).seq == 100


def test_a_store_of_one_camera_says_its_name_from_format_three_on(tmp_path: Path) -> None:
    db, ident = sqlite3.connect(tmp_path / "visits.db"), uuid7()
    db.executescript(
        "CREATE TABLE visits (id TEXT PRIMARY KEY, label TEXT NOT NULL, start TEXT NOT NULL, ended INTEGER NOT NULL, "
        "event TEXT NOT NULL, first INTEGER NOT NULL) WITHOUT ROWID; CREATE TABLE events (seq INTEGER PRIMARY KEY, "
        "id TEXT NOT NULL, event TEXT NOT NULL); CREATE TABLE counts (label TEXT NOT NULL, bucket INTEGER NOT NULL, "
        "most INTEGER NOT NULL, PRIMARY KEY (label, bucket)) WITHOUT ROWID; CREATE TABLE watched (bucket INTEGER "
        "PRIMARY KEY, seconds REAL NOT NULL); INSERT INTO counts VALUES ('hornet', 900, 3); "
        "INSERT INTO watched VALUES (900, 4.0); PRAGMA user_version = 2"
    )
    text = json.dumps(event(ident, seq=1, camera="orchard"))
    db.execute("INSERT INTO events VALUES (1, ?, ?)", (ident, text))
    db.execute("INSERT INTO visits VALUES (?, 'hornet', '', 1, ?, 1)", (ident, text))
    db.commit()
    db.close()
    for _ in range(2):
        store, reader = opened(tmp_path), Reader(tmp_path)
        store.close()
        assert [visit["id"] for visit in reader.visits(camera="orchard")] == [ident]
        assert reader.visits(camera="hive") == []
        assert reader.quarters(0, 2000, "orchard") == {"hornet": {900: 3}}
        assert reader.watched(0, 2000, "orchard") == {900: 4.0}


def test_a_store_of_the_first_format_is_brought_up_to_date(tmp_path: Path) -> None:
    db, idents = sqlite3.connect(tmp_path / "visits.db"), [uuid7(seconds) for seconds in (2e9, 1.0, 1e9)]
    db.executescript(
        "CREATE TABLE visits (id TEXT PRIMARY KEY, label TEXT NOT NULL, start TEXT NOT NULL, ended INTEGER NOT NULL, "
        "event TEXT NOT NULL) WITHOUT ROWID; CREATE TABLE events (seq INTEGER PRIMARY KEY, id TEXT NOT NULL, "
        "event TEXT NOT NULL); PRAGMA user_version = 1"
    )
    for seq, ident in enumerate(idents, 1):
        text = json.dumps(event(ident, seq=seq))
        db.execute("INSERT INTO events VALUES (?, ?, ?)", (seq, ident, text))
        db.execute("INSERT INTO visits VALUES (?, 'hornet', '', 1, ?)", (ident, text))
    db.commit()
    db.close()
    store, later = opened(tmp_path), uuid7()
    assert store.seq == 3
    store.add(event(later, seq=store.next_seq()))
    assert [v["id"] for v in Reader(tmp_path).visits()] == [later, *idents[::-1]]


CHILD = """
import sys
from pathlib import Path
from tests.camera.test_store import event, opened
from edgekit.camera.events.uuid7 import uuid7
store = opened(Path(sys.argv[1]))
while True:
    ident = uuid7()
    store.keep_file("snapshots", f"{ident}.jpg", b"z" * 20000, "2026-08-01")
    store.add(event(ident, "start", seq=store.next_seq()))
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
        assert db_of(store).execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        store.sweep()
        for left in store.unfinished():
            store.add(crashed(left, store.next_seq()))
        assert store.unfinished() == []
        last = Reader(tmp_path).visits(limit=1)[0]
        assert (last["type"], last["end_reason"], last["end"]) == ("end", "crash", last["last_seen"])
        store.close()


def test_a_later_edgekits_database_is_refused(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "visits.db")
    db.execute("PRAGMA user_version = 99")
    db.close()
    for _ in range(2):  # the lock of the first was given back
        with pytest.raises(OutputError, match="another edgekit"):
            opened(tmp_path)


def test_a_database_that_could_not_be_made_yet_was_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_RETRY", 0.0)
    whole, said = database_module.open_database, []

    def full(path: Path) -> sqlite3.Connection:
        path.touch()
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(database_module, "open_database", full)
    store = Store(tmp_path, StoreConfig(reserve_mb=0), said.append)
    store.add(event(uuid7(), seq=store.next_seq()))
    monkeypatch.setattr(database_module, "open_database", whole)
    store.flush()
    assert list(rows_of(tmp_path)) == [1]
    assert not any("gone" in line for line in said)
