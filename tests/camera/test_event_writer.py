"""What a frame's events cost each other: nothing. A part that fails is told, and forgotten when it works again."""

import errno
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edgekit.camera.config import CameraConfig
from edgekit.camera.deliver.base import Event
from edgekit.camera.deliver.live_view import encode
from edgekit.camera.events.uuid7 import uuid7
from edgekit.camera.events.visits import VisitEvent
from edgekit.camera.store.avi import AviWriter, read_avi, recover
from edgekit.camera.store.reader import Reader
from edgekit.camera.writing.frame_result import FrameResult
from edgekit.errors import OutputError
from tests.camera.conftest import config_of, found, spot, wait_for, writer_of
from tests.camera.test_store import Disk, rows_of


class Told:
    """A writer that is told of visits, a frame at a time; its clock is the test's."""

    def __init__(self, config: CameraConfig, **options: Any) -> None:
        self.events: list[Event] = []
        self.said: list[str] = []
        self.now = time.monotonic()
        listeners = (self.events.append, *options.get("listeners", ()))
        self.writer = writer_of(config, self.said.append, patient=options.get("patient", True), listeners=listeners)
        self.writer.start()

    def tell(self, kind: str = "", ident: str = "") -> None:
        """A frame, with an event where `kind` is given; returns when it was written."""
        self.now += 0.1
        content = {"schema": "edgekit.visit/1", "id": ident, "type": kind, "label": "hornet", "start": "", "count": 1,
                   "last_seen": "2026-08-01T10:00:00.000Z", "end": None, "end_reason": None}  # fmt: skip
        events = (VisitEvent(kind, ident, "hornet", self.now, content),) if kind else ()  # type: ignore[arg-type]
        self.writer.put(FrameResult(spot(50, 50), found(), self.now, events, (ident,) if kind else ()))
        wait_for(lambda: not self.writer._queue and self.writer._busy_since is None, 10)

    def visit(self, frames: int = 5, after: int = 30) -> str:
        """A whole visit and what follows it; its id."""
        ident = uuid7()
        self.tell("start", ident)
        for _ in range(frames):
            self.tell()
        self.tell("end", ident)
        for _ in range(after):
            self.tell()
        return ident


@contextmanager
def telling(folder: Path, *changes: str, **options: Any) -> Iterator[Told]:
    told = Told(config_of(f"store.folder={folder}", "store.reserve_mb=0", "visits.clip=true", *changes), **options)
    try:
        yield told
    finally:
        told.writer.stop()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at the disk comes with the next frame."""
    for name in ("_RETRY", "_LOOK"):
        monkeypatch.setattr(f"edgekit.camera.store.store.{name}", 0.0)


def test_a_clip_that_cannot_be_written_costs_no_event_and_readiness_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with telling(tmp_path) as told:
        write = AviWriter.write

        def full(self: AviWriter, jpeg: bytes, at: float) -> None:
            raise OutputError(f"{self.path} could not be written.", got="No space left on device")

        monkeypatch.setattr(AviWriter, "write", full)
        monkeypatch.setattr(
            "edgekit.camera.store.pictures.write_bytes", lambda *_, **__: full(AviWriter(tmp_path), b"", 0)
        )
        lost = told.visit()
        assert "No space left" in told.writer.problem
        assert sum("No space left" in line for line in told.said) == 1
        monkeypatch.setattr(AviWriter, "write", write)
        monkeypatch.undo()
        told.writer.store._probe_at = told.writer.store._look_at = 0.0  # type: ignore[union-attr]
        told.tell()
        assert told.writer.problem == ""
        kept = told.visit()
    assert [(e["id"], e["type"]) for e in told.events] == [
        (ident, kind) for ident in (lost, kept) for kind in ("start", "end")
    ]
    assert [row["type"] for row in rows_of(tmp_path).values()] == ["start", "end"] * 2
    visits = {v["id"]: v for v in Reader(tmp_path).visits()}
    assert visits[lost]["clip"] is None
    assert read_avi(tmp_path / visits[kept]["clip"]["path"])
    assert told.writer.dropped["clips_lost"] == 1
    assert told.writer.dropped["pictures_lost"] >= 1
    assert not [path for path in tmp_path.rglob("*") if ".tmp" in path.name]


def test_a_disk_that_was_full_and_has_room_again_is_no_trouble_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    with telling(tmp_path, "store.reserve_mb=10") as told:
        disk.room = 5_000_000
        told.tell()
        assert "less than 10 MB" in told.writer.problem  # known before an insect comes
        without = told.visit()
        disk.room = 10**9
        told.tell()
        assert told.writer.problem == ""
        whole = told.visit()
        disk.room = 5_000_000
        cut = told.visit(frames=3)
    visits = {v["id"]: v for v in Reader(tmp_path).visits()}
    assert [bool(visits[i]["snapshot"]) for i in (without, whole, cut)] == [False, True, False]
    assert [bool(visits[i]["clip"]) for i in (without, whole, cut)] == [False, True, False]
    assert len(rows_of(tmp_path)) == 6
    assert sum("again" in line for line in told.said) == 1


def test_a_listener_that_fails_costs_the_others_nothing(tmp_path: Path) -> None:
    broken = [True]

    def fails(_: Event) -> None:
        if broken[0]:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    with telling(tmp_path, listeners=(fails,)) as told:
        told.visit(after=1)
        assert "Broken pipe" in told.writer.problem
        broken[0] = False
        told.visit(after=1)
        assert told.writer.problem == ""
    assert len(told.events) == len(rows_of(tmp_path)) == 4


def test_a_dead_consumer_of_the_lines_is_told_and_costs_no_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dead(*_: object) -> int:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    with (tmp_path / "lines").open("w") as stdout:
        monkeypatch.setattr("sys.stdout", stdout)
        monkeypatch.setattr("edgekit.camera.deliver.lines.os.write", dead)
        with telling(tmp_path / "store", "output.json_lines=true") as told:
            told.visit(after=1)
            assert "Broken pipe" in told.writer.problem
            monkeypatch.undo()
            monkeypatch.setattr("sys.stdout", stdout)
            told.tell()
            assert told.writer.problem == ""
            told.visit(after=1)
    assert len(told.events) == len(rows_of(tmp_path / "store")) == 4
    assert (tmp_path / "lines").read_bytes().count(b"\n") == 4


def test_a_row_names_a_clip_only_once_it_is_whole(tmp_path: Path) -> None:
    with telling(tmp_path, "visits.post_roll=1") as told:
        ident = uuid7()
        for kind in ("start", "", "end"):
            told.tell(kind, ident)
        assert told.events[-1]["clip"] is not None  # whoever is told knows where it will be
        assert [row["clip"] for row in rows_of(tmp_path).values()] == [None, None]
        for _ in range(12):
            told.tell()
        rows = rows_of(tmp_path)
    path = rows[2]["clip"]["path"]
    assert rows[1]["clip"] is None
    assert (tmp_path / path).is_file()
    assert Reader(tmp_path).visits()[0]["clip"] == {"path": path}


def test_a_clip_of_a_camera_that_was_lost_ends_without_another_frame(tmp_path: Path) -> None:
    with telling(tmp_path, "visits.post_roll=0", patient=False) as told:
        ident = uuid7()
        told.tell("start", ident)
        told.tell()
        told.now -= 0.2
        told.tell("end", ident)
        wait_for(lambda: Reader(tmp_path).visits()[0]["clip"] is not None, 5)


def test_a_clip_is_on_the_disk_before_its_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """fsync, rename, fsync of the folder."""
    done: list[str] = []
    monkeypatch.setattr("os.fsync", lambda _: done.append("file"))
    monkeypatch.setattr("edgekit.camera.store.avi.sync_folder", lambda folder: done.append(folder.name))
    rename = Path.replace
    monkeypatch.setattr(Path, "replace", lambda path, target: done.append("rename") or rename(path, target))
    writer = AviWriter(tmp_path / "day" / "c.avi")
    writer.write(encode(spot(50, 50)), 0)
    writer.close()
    assert done == ["file", "rename", "day"]


def test_what_a_kill_left_of_a_clip_is_a_shorter_clip(tmp_path: Path) -> None:
    """Its last picture is cut off in the middle."""
    with telling(tmp_path) as told:
        ident = uuid7()
        told.tell("start", ident)
        for _ in range(4):
            told.tell()
        half = next(tmp_path.rglob("*.tmp.avi"))
        told.writer._recorders["hive"]._clips._open[ident].sink._file.flush()  # type: ignore[union-attr]
        left = half.read_bytes()[:-100]
    half.parent.mkdir(exist_ok=True)
    for path in (tmp_path / "clips").rglob("*.avi"):
        path.unlink()
    half.write_bytes(left)
    half.with_name(f".{uuid7()}.99.tmp.avi").write_bytes(b"no clip")
    with telling(tmp_path) as told:
        told.tell()
    step, pictures = read_avi(half.with_name(f"{ident}.avi"))
    assert len(list(pictures)) == 4
    assert step == pytest.approx(0.1)
    assert len(list((tmp_path / "clips").rglob("*"))) == 2


def test_a_clip_without_a_whole_picture_is_none(tmp_path: Path) -> None:
    for data in (
        b"",
        bytes(224),
        bytes(224) + b"00dc\x09\x00\x00\x00picture",
        bytes(224) + b"00dc\x09\x00\x00\x00jpeg",
    ):
        (tmp_path / "half").write_bytes(data)
        assert not recover(tmp_path / "half", tmp_path / "c.avi")
        assert (tmp_path / "half").read_bytes() == data


def test_an_output_that_does_not_end_says_how_much_it_did_not_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgekit.camera.store.store.Store.add", lambda *_: time.sleep(0.6))
    told = Told(config_of(f"store.folder={tmp_path}"))
    for kind in ("start", "update", "end"):
        told.writer.put(FrameResult(None, found(), told.now, (VisitEvent(kind, uuid7(), "hornet", told.now, {  # type: ignore[arg-type]
            "schema": "", "id": "x", "type": kind}),)))  # fmt: skip
    assert not told.writer.stop(timeout=0.2)
    assert told.writer.dropped["events_lost"] == 2
    assert any("2 events were not written" in line for line in told.said)
    told.writer._thread.join(10)


def test_an_idle_camera_writes_every_three_minutes_and_a_rise_within_five_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("edgekit.camera.event_writer.time.monotonic", lambda: now[0])
    written: list[float] = []
    writer = writer_of(config_of(f"store.folder={tmp_path}"), print)
    (recorder,) = writer._recorders.values()
    assert writer.store is not None
    monkeypatch.setattr(writer.store, "count", lambda *_: written.append(now[0]))
    for second in range(1, 601):
        now[0] += 1
        recorder.counts.see({"hornet": 2 if second >= 300 else 0}, 900_000.0 + second)
        writer._regularly(False)
    writer.store.close()
    assert len(written) <= 5  # of ten minutes, with the rise
    assert any(1300 <= at <= 1305 for at in written)


def test_counts_do_not_pile_up_where_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgekit.camera.event_writer._EVERY", 0.01)
    writer = writer_of(config_of(), print)
    counts = next(iter(writer._recorders.values())).counts
    for quarter in range(96):
        counts.see({"hornet": 1}, 900.0 * quarter)
    writer.start()
    wait_for(lambda: not counts._most, 10)
    writer.stop()
