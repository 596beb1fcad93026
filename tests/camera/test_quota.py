"""Pictures go before rows, the first told first, and only as far as needed; what went is counted and said once."""

import os
import time
from pathlib import Path
from typing import Any

import pytest

from edgekit.camera.config import StoreConfig
from edgekit.camera.events.uuid7 import uuid7
from edgekit.camera.store.quota import walk
from edgekit.camera.store.reader import Reader
from edgekit.camera.store.store import Store
from tests.camera.test_store import Disk, event, opened, rows_of


def filled(
    folder: Path, visits: int, size: int = 100_000, at: float | None = None, **keys: Any
) -> tuple[Store, list[str]]:
    """A store with so many ended visits, each with a picture, and their ids in the order in which they were told."""
    store, idents = opened(folder, **keys), [uuid7(at) for _ in range(visits)]
    for ident in idents:
        tell(store, ident, size)
    return store, idents


def tell(store: Store, ident: str, size: int = 100_000) -> None:
    snapshot = store.keep_file("snapshots", f"{ident}.jpg", os.urandom(size), "2026-08-01")
    store.add(event(ident, seq=store.next_seq(), snapshot=snapshot))


def used(store: Store) -> int:
    """Bytes of everything in its folder."""
    return sum(size for _, size in walk(store.folder))


def pictured(folder: Path) -> list[str]:
    """Ids of visits that name a picture, in order; each is there, and there are no others."""
    found = [v["id"] for v in Reader(folder).visits(limit=1000) if v["snapshot"]][::-1]
    assert {path.stem for path in (folder / "snapshots").rglob("*.jpg")} == set(found)
    return found


def test_rows_outlive_pictures_and_the_first_told_go_first(tmp_path: Path) -> None:
    store, idents = filled(tmp_path, 40, quota_mb=2)
    still = uuid7(1.0)
    tell(store, still)
    store.add(event(still, "update", seq=store.next_seq(), snapshot=Reader(tmp_path).visits()[0]["snapshot"]))
    removed = store.tidy(force=True)
    assert used(store) <= 2e6
    assert removed.pictures > 10
    assert removed.visits == 0
    left = pictured(tmp_path)
    assert len(left) > 5  # the write-ahead log counts
    assert left == [*idents, still][-len(left) :]
    assert [v["id"] for v in Reader(tmp_path).visits(limit=100)] == [still, *idents[::-1]]
    assert store.dropped.pictures_removed == removed.pictures


def test_a_disk_filled_by_others_costs_pictures_as_far_as_the_reserve_and_no_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch, tmp_path)
    store, idents = filled(tmp_path, 30, reserve_mb=1)
    disk.room = used(store) + 500_000  # half a megabyte less than the reserve
    assert 0 < store.tidy(force=True).pictures < 10
    disk.room -= 400_000
    said: list[str] = []
    store._problems.say = said.append
    tell(store, uuid7())
    assert 0 < store.dropped.pictures_removed < 15
    assert store.dropped.pictures_lost == 0
    disk.room = 0  # nothing can be won any more
    tell(store, uuid7())
    assert len(rows_of(tmp_path)) == 32
    assert store.dropped.pictures_lost == 1
    assert "less than 1 MB" in store.problem
    for _ in range(5):
        tell(store, uuid7())
    assert sum("pictures are not kept" in line for line in said) == 1
    assert len(Reader(tmp_path).visits(limit=100)) == 37
    assert idents[0] in {v["id"] for v in Reader(tmp_path).visits(limit=100)}


def test_pictures_that_could_not_win_the_reserve_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch, tmp_path)
    store, _ = filled(tmp_path, 20, reserve_mb=500)
    disk.room = used(store) + 100_000_000  # the two megabytes of pictures are not what fills it
    assert store.tidy(force=True).pictures == 0


def test_rows_have_a_quota_of_their_own(tmp_path: Path) -> None:
    store, idents = filled(tmp_path, 60, 1000, rows_mb=0.08)
    removed = store.tidy(force=True)
    assert 0 < removed.visits < 60
    left = [v["id"] for v in Reader(tmp_path).visits(limit=100)]
    assert left == idents[removed.visits :][::-1]
    assert pictured(tmp_path) == idents[removed.visits :]
    assert {row["id"] for row in rows_of(tmp_path).values()} == set(left)


def test_files_that_no_visit_knows_go_before_all_others_and_not_sooner(tmp_path: Path) -> None:
    store, idents = filled(tmp_path, 10)
    stray = store.keep_file("snapshots", f"{uuid7()}.jpg", bytes(200_000), "2026-09-01")
    assert stray is not None
    assert store.sweep() == 0
    assert (tmp_path / stray["path"]).exists()
    store.pictures._config = StoreConfig(quota_mb=used(store) / 1e6 - 0.1, reserve_mb=0)
    assert store.tidy(force=True).pictures == 1
    assert pictured(tmp_path) == idents


def test_a_picture_that_went_for_want_of_any_room_is_no_longer_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgekit.camera.store.store._RETRY", 0.0)
    store, idents = filled(tmp_path, 5)
    Disk(monkeypatch).room = 0
    assert store._locked.db is not None
    store._locked.db.execute(f"PRAGMA max_page_count = {store._locked.db.execute('PRAGMA page_count').fetchone()[0]}")
    waiting = uuid7()
    store.add(event(waiting, seq=store.next_seq(), padding="x" * 20_000))
    assert store.dropped.pictures_removed == 5
    assert "full" in store.problem
    store._locked.db.execute("PRAGMA max_page_count = 1000000")
    store.flush()
    assert store.problem == ""
    assert pictured(tmp_path) == []
    assert [v["id"] for v in Reader(tmp_path).visits()] == [waiting, *idents[::-1]]


FIRST_BOOT = 12_345.0  # seconds after 1970: a box without a clock of its own


def test_a_clock_at_1970_costs_nothing_and_the_newest_stay_when_it_is_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids of the first boot sort before all others, though they were told last."""
    store, before = filled(tmp_path, 20, quota_mb=2)
    store.close()
    now = time.time()
    monkeypatch.setattr("time.time", lambda: FIRST_BOOT)
    said: list[str] = []
    store = Store(tmp_path, store.pictures._config, said.append)
    assert any("1970-01-01" in line for line in said)
    at_1970 = [uuid7(FIRST_BOOT + i) for i in range(10)]
    for ident in at_1970:
        tell(store, ident)
    assert not store.tidy(force=True)
    assert pictured(tmp_path) == before + at_1970
    assert store.seq == 30
    monkeypatch.setattr("time.time", lambda: now)  # NTP
    later = [uuid7(now + i) for i in range(5)]
    for ident in later:
        tell(store, ident)
    assert store.tidy(force=True).pictures > 10
    left = pictured(tmp_path)
    assert left == (before + at_1970 + later)[-len(left) :]
    assert set(at_1970 + later) <= set(left)
    assert [v["id"] for v in Reader(tmp_path).visits(limit=100)] == (before + at_1970 + later)[::-1]


def test_a_clock_behind_the_newest_event_is_wrong_too_and_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = filled(tmp_path, 30, quota_mb=2)
    now = time.time()
    store.add(event(uuid7(), seq=store.next_seq(), last_seen="2040-01-01T00:00:00.000Z"))
    store.close()
    store = Store(tmp_path, store.pictures._config)
    assert not store.tidy(force=True)
    monkeypatch.setattr("edgekit.camera.store.pictures._HOLD", 0.0)
    assert store.tidy(force=True).pictures > 5
    assert time.time() >= now


def test_the_release_is_no_later_than_today() -> None:
    from edgekit.camera.clock import RELEASED, plausible, seconds_of

    assert time.time() > RELEASED
    assert plausible(0)
    assert not plausible(time.time() + 60)
    assert seconds_of("1970-01-01T00:00:01.500Z") == 1.5
    assert seconds_of(None) == seconds_of("soon") == 0


def test_what_was_dropped_is_in_status_metrics_and_summary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from edgekit.camera.runtime import Camera
    from edgekit.camera.web.metrics import exposition
    from edgekit.cli.shared.ending import tell
    from edgekit.cli.shared.options import Format
    from tests.camera.conftest import ListGrabber, SpotDetector, config_of, model_of, spot

    Disk(monkeypatch).room = 1000
    said: list[str] = []
    config = config_of("source.uri=synthetic://hive?frames=1", f"store.folder={tmp_path}", "visits.clip=true")
    frames = [spot(40 + i, 60) for i in range(20)]
    camera = Camera(config, model_of(SpotDetector()), opener=lambda *_: ListGrabber(frames, 5), say=said.append)
    summary = camera.run()
    assert summary.events == len(rows_of(tmp_path)) >= 2
    assert summary.not_kept["pictures_lost"] == camera.lookout.health.status()["output"]["pictures_lost"] >= 1
    assert summary.not_kept["clips_lost"] == 1
    assert "less than 500 MB are free" in camera.lookout.health.status()["output"]["trouble"]
    text = exposition("d", {"c": camera.lookout.health.status()})[0].decode()
    lost = summary.not_kept["pictures_lost"]
    assert f'edgekit_camera_dropped_total{{camera="c",device="d",what="pictures_lost"}} {lost}.0' in text
    assert sum("500 MB" in line for line in said) == 1
    tell(summary, config, Format.text)
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"events    {summary.events}; {lost} pictures lost")


def test_the_second_picture_of_a_visit_costs_older_ones_and_not_its_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No row knows the visit yet: its event names both once they are written."""
    disk = Disk(monkeypatch, tmp_path)
    store, idents = filled(tmp_path, 6, reserve_mb=1)
    new = uuid7()
    snapshot = store.keep_file("snapshots", f"{new}.jpg", os.urandom(100_000), "2026-08-01")
    disk.room = used(store) + 1_050_000  # the reserve and half of a picture
    plain = store.keep_file("plain", f"{new}.jpg", os.urandom(100_000), "2026-08-01")
    assert plain is not None
    store.add(event(new, seq=store.next_seq(), snapshot=snapshot, plain=plain))
    left = pictured(tmp_path)
    assert left[-1] == new
    assert idents[0] not in left
    assert (tmp_path / "plain" / "2026-08-01" / f"{new}.jpg").is_file()
