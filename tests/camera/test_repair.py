"""A damaged or deleted store is no end: set aside and said, what can be read is taken over, events go on being kept."""

import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.camera.config import StoreConfig
from edgekit.camera.events.uuid7 import uuid7
from edgekit.camera.store.reader import Reader
from edgekit.camera.store.store import Store
from tests.camera.test_store import event, opened, rows_of

VISITS = 60


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def zeroed(data: bytes) -> bytes:
    return bytes(len(data))


def emptied(_: bytes) -> bytes:
    return b""


def garbage(data: bytes) -> bytes:
    return random.Random(1).randbytes(len(data))


def flipped(data: bytes) -> bytes:
    """Every eighth page overwritten, but not the first."""
    pages = bytearray(data)
    for start in range(8 * 4096, len(pages), 8 * 4096):
        pages[start : start + 200] = bytes(200)
    return bytes(pages)


def version(data: bytes) -> bytes:
    return data[:60] + b"\x7f\xff\x00\x00" + data[64:]


def no_tail(data: bytes) -> bytes:
    return data[:-4096]


HARM = (half, zeroed, emptied, garbage, flipped, version, no_tail)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with visits and pictures."""
    folder = tmp_path_factory.mktemp("whole")
    store = opened(folder)
    for number in range(VISITS):
        ident = uuid7()
        store.add(event(ident, "start", seq=store.next_seq(), padding="x" * 1500))
        snapshot = store.keep_file("snapshots", f"{ident}.jpg", b"jpeg", "2026-08-01") if number % 10 == 0 else None
        store.add(event(ident, seq=store.next_seq(), snapshot=snapshot))
    store.count("hive", [("hornet", 900, 3)], [(900, 4.0)])
    store.close()
    return folder


@pytest.mark.parametrize("harm", HARM, ids=lambda harm: harm.__name__)
def test_a_damaged_database_is_set_aside_and_a_new_one_begun(
    harm: Callable[[bytes], bytes], whole: Path, tmp_path: Path
) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "visits.db"
    broken = harm(path.read_bytes())
    path.write_bytes(broken)
    said: list[str] = []
    for _ in range(3):  # never a loop of refusals, and said once
        store = Store(tmp_path, StoreConfig(reserve_mb=0), said.append)
        store.sweep()
        ident = uuid7()
        store.add(event(ident, seq=store.next_seq()))
        store.close()
        assert Reader(tmp_path).visits()[0]["id"] == ident
    assert store.seq > 2 * VISITS  # numbers go on, whatever is left
    assert len(list(tmp_path.rglob("*.jpg"))) == 6  # pictures stay where their rows are lost
    aside = list(tmp_path.glob("visits-broken-20*.db"))
    if broken:
        assert [p.read_bytes()[100:] for p in aside] == [broken[100:]]
        assert sum(aside[0].name in line and "damaged" in line for line in said) == 1
    else:
        assert aside == []
        assert sum("is empty" in line for line in said) == 1
    kept = len(Reader(tmp_path).visits(limit=1000)) - 3
    print(f"{harm.__name__}: {kept} of {VISITS} visits could be read")
    assert kept >= {half: VISITS // 3, flipped: VISITS // 4, version: VISITS, no_tail: VISITS // 2}.get(harm, 0)


def test_a_missing_database_is_said_and_pictures_stay(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    (tmp_path / "visits.db").unlink()
    said: list[str] = []
    store = Store(tmp_path, StoreConfig(reserve_mb=0), said.append)
    assert any("not there any more" in line for line in said)
    assert store.sweep() == 0
    assert len(list(tmp_path.rglob("*.jpg"))) == 6
    assert store.next_seq() > 2 * VISITS
    store.close()


def test_a_large_database_is_checked_meanwhile(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.camera.conftest import wait_for

    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "visits.db"
    middle = path.stat().st_size // 8192 * 4096
    with path.open("r+b") as file:  # a page of rows that nobody reads at the start
        file.seek(middle)
        file.write(bytes(200))
    monkeypatch.setattr("edgekit.camera.store.locked_database._QUICKLY", 0)
    monkeypatch.setattr("edgekit.camera.store.store._LOOK", 0.0)
    said: list[str] = []
    store = Store(tmp_path, StoreConfig(reserve_mb=0), said.append)
    wait_for(lambda: bool(store._locked._found), 10)
    store.watch()
    assert any("is damaged" in line for line in said)
    ident = uuid7()
    store.add(event(ident, seq=store.next_seq()))
    assert Reader(tmp_path).visits()[0]["id"] == ident
    store.close()


def test_a_large_database_may_be_damaged_where_its_last_event_is(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    data = bytearray((tmp_path / "visits.db").read_bytes())
    for start in range(4096, len(data), 4096):
        if data[start] == 13 and b'"seq": %d' % (2 * VISITS) in data[start : start + 4096]:  # a leaf of rows
            data[start : start + 200] = bytes(200)
    (tmp_path / "visits.db").write_bytes(data)
    monkeypatch.setattr("edgekit.camera.store.locked_database._QUICKLY", 0)
    said: list[str] = []
    store = Store(tmp_path, StoreConfig(reserve_mb=0), said.append)
    assert any("is damaged" in line for line in said)
    assert store.next_seq() > 2 * VISITS
    store.close()


def test_a_row_that_is_no_event_any_more_is_left_out(tmp_path: Path) -> None:
    store, idents = opened(tmp_path), [uuid7() for _ in range(3)]
    for ident in idents:
        store.add(event(ident, "start", seq=store.next_seq()))
    store.close()
    db = sqlite3.connect(tmp_path / "visits.db")
    db.execute("UPDATE visits SET event = CAST(x'7bff227d' AS TEXT) WHERE id = ?", (idents[1],))
    db.commit()
    db.close()
    store = opened(tmp_path)
    assert [v["id"] for v in store.unfinished()] == [idents[0], idents[2]]
    assert [v["id"] for v in Reader(tmp_path).visits()] == [idents[2], idents[0]]
    assert Reader(tmp_path).visit(idents[1]) is None
    store.close()


@pytest.mark.parametrize("what", ["folder", "database", "all of it, and another made", "log"])
def test_a_store_that_is_deleted_under_way_is_made_anew_and_the_loss_is_counted(what: str, tmp_path: Path) -> None:
    folder, said = tmp_path / "store", []
    store = Store(folder, StoreConfig(reserve_mb=0), said.append)
    told = 0
    for number in range(30):
        ident = uuid7()
        snapshot = store.keep_file("snapshots", f"{ident}.jpg", b"jpeg", "2026-08-01")
        store.add(event(ident, seq=store.next_seq(), snapshot=snapshot))
        told += 1
        if number != 19:
            continue
        if what == "log":
            (folder / "visits.db-wal").unlink()
        elif what == "database":
            for path in folder.glob("visits.db*"):
                path.unlink()
        else:
            shutil.rmtree(folder)
        if what.startswith("all"):
            folder.mkdir()
            sqlite3.connect(folder / "visits.db").execute("VACUUM").close()
        store._look_at = 0.0
        store.watch()
    kept = rows_of(folder)
    print(f"{what}: {told} told, {len(kept)} kept, {store.dropped.events_lost} lost")
    assert len(kept) + store.dropped.events_lost == told
    assert store.dropped.events_lost == (0 if what == "log" else 20)
    assert store.dropped.pictures_lost == (20 if what[0] in "fa" else 0)
    assert any("deleted or replaced" in line for line in said) == (what != "log")
    assert store.seq == told
    assert store.problem == ""
    store.close()
    assert len(Reader(folder).visits(limit=100)) == len(kept)


def test_a_folder_that_is_deleted_while_it_is_written_to_costs_nothing_of_what_comes_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "store"
    store = opened(folder)
    store.add(event(uuid7(), seq=store.next_seq()))
    written = Store._written

    def deleted_meanwhile(self: Store, db: sqlite3.Connection) -> bool:
        done = written(self, db)
        shutil.rmtree(folder)
        monkeypatch.setattr(Store, "_written", written)
        return done

    monkeypatch.setattr(Store, "_written", deleted_meanwhile)
    store.add(event(uuid7(), seq=store.next_seq()))
    assert list(rows_of(folder)) == [2]
    assert store.dropped.events_lost == 1


def test_another_process_may_have_taken_a_deleted_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgekit.camera.store.store._RETRY", 0.0)
    folder = tmp_path / "store"
    store = opened(folder)
    store.add(event(uuid7(), seq=store.next_seq()))
    shutil.rmtree(folder)
    other = opened(folder)
    store.add(event(uuid7(), seq=store.next_seq()))
    assert "another process" in store.problem
    assert rows_of(folder) == {}
    other.close()
    store.flush()
    assert store.problem == ""
    assert list(rows_of(folder)) == [2]
    assert store.dropped.events_lost == 1


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
def test_garbage_beside_the_database_costs_nothing_in_it(suffix: str, whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    (tmp_path / f"visits.db{suffix}").write_bytes(garbage(bytes(50_000)))
    store = opened(tmp_path)
    store.add(event(uuid7(), seq=store.next_seq()))
    assert store.problem == ""
    assert len(rows_of(tmp_path)) == 2 * VISITS + 1
    store.close()


def test_a_folder_in_the_place_of_the_database_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "visits.db").mkdir()
    said: list[str] = []
    store = Store(tmp_path, StoreConfig(reserve_mb=0), said.append)
    store.add(event(uuid7(), seq=store.next_seq()))
    assert list(rows_of(tmp_path)) == [1]
    assert any("it is a folder" in line for line in said)
    store.close()
