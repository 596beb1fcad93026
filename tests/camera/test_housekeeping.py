"""What is done beside the watching may fail; the watching may not. And the store is its keeper's alone."""

import errno
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.artifacts.atomic import write_bytes
from edgekit.camera import health
from edgekit.camera.health import notify_systemd
from edgekit.camera.runtime import Camera
from edgekit.camera.store import permissions
from edgekit.camera.store.permissions import close_to_others
from edgekit.camera.thermal import hottest
from tests.camera.conftest import ListGrabber, SpotDetector, config_of, model_of, spot

MANY = OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def failing(*_: object) -> None:
    raise MANY


@pytest.mark.parametrize("chore", ["hottest", "give_back"])
def test_housekeeping_that_fails_ends_no_run(chore: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"edgekit.camera.housekeeping.{chore}", failing)
    monkeypatch.setattr("edgekit.camera.housekeeping._FIRST_TRIM", -1.0)
    said: list[str] = []
    config = config_of("source.uri=rtsp://127.0.0.1:1/x")
    things = [thing for i in range(40) for thing in (0.005, spot(20 + i, 60))]
    camera = Camera(config, model_of(SpotDetector()), opener=lambda *_: ListGrabber([*things, 60.0]), say=said.append)
    for _ in range(2):
        camera._chores.soon()
        camera._chores.regularly(camera._ladder)
    failures = [line for line in said if "Too many open files" in line]
    assert len(failures) == 1  # said once, not every two seconds of a season
    assert "watching goes on" in failures[0]


def test_no_descriptor_for_the_temperature_is_no_temperature(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    zone = tmp_path / "thermal_zone0"
    zone.mkdir()
    (zone / "temp").write_text("51000\n")
    assert hottest(tmp_path) == 51
    for name in ("scandir", "listdir"):
        monkeypatch.setattr(f"os.{name}", failing)
    monkeypatch.setattr(Path, "iterdir", failing)
    assert hottest(tmp_path) is None
    monkeypatch.undo()
    assert hottest(tmp_path / "absent") is None


def test_systemd_hears_of_a_process_without_descriptors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    health._link.cache_clear()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.bind(str(tmp_path / "s"))
        link.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "s"))
        notify_systemd("READY=1")
        monkeypatch.setattr(socket, "socket", failing)
        notify_systemd("WATCHDOG=1")
        monkeypatch.undo()
        assert [link.recv(99), link.recv(99)] == [b"READY=1", b"WATCHDOG=1"]


def test_systemd_hears_nothing_of_a_process_whose_loop_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr("edgekit.camera.housekeeping.notify_systemd", told.append)
    config = config_of("source.uri=rtsp://127.0.0.1:1/x")
    camera = Camera(config, model_of(SpotDetector()), opener=lambda *_: ListGrabber([]), say=lambda _: None)
    for heard in (["WATCHDOG=1"], ["WATCHDOG=1"]):
        camera._chores.soon()
        camera._chores.regularly(None, camera.lookout.health.alive()[0])
        assert told == heard
        camera.lookout.health._beat -= 31


# --- who may read the store ---


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def modes(folder: Path) -> dict[str, int]:
    return {p.relative_to(folder).as_posix(): mode(p) for p in folder.rglob("*")}


@pytest.fixture
def usual_umask() -> "Callable[[], None]":
    """0022, as a login has it, whatever the tests were started with."""
    before = os.umask(0o022)
    yield lambda: None  # type: ignore[misc]
    os.umask(before)


def watch(folder: Path, while_open: Callable[[], None] = lambda: None) -> list[str]:
    """A visit with a snapshot and a clip, kept in `folder`; what was said."""
    said: list[str] = []
    seen = [spot(20 + 2 * i, 60) for i in range(30)]
    config = config_of("source.uri=synthetic://hive?frames=30", f"store.folder={folder}", "visits.clip=true",
                       "visits.end_after=0.5", "visits.post_roll=0.1")  # fmt: skip
    events = []

    def listen(event: dict[str, object]) -> None:
        events.append(event)
        if event["type"] == "start":
            while_open()

    Camera(config, model_of(SpotDetector()), opener=lambda *_: ListGrabber(seen, 10), say=said.append,
           listeners=(listen,)).run()  # fmt: skip
    assert [event["type"] for event in events][-1:] == ["end"], said
    return said


@pytest.mark.usefixtures("usual_umask")
def test_the_store_is_its_keepers_alone(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "store"
    open_files: dict[str, int] = {}
    watch(folder, lambda: open_files.update(modes(folder)))
    assert {"visits.db", "visits.db-wal", "visits.db-shm"} <= set(open_files)
    found = {**open_files, **modes(folder)}
    assert any(name.endswith(".jpg") for name in found)
    assert any(name.endswith(".avi") for name in found)
    for name, bits in found.items():
        assert bits == (0o700 if (folder / name).is_dir() else 0o600), name
    assert mode(folder) == 0o700


@pytest.mark.usefixtures("usual_umask")
def test_the_store_of_an_earlier_version_becomes_its_keepers_alone(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    watch(folder)
    outside = tmp_path / "outside.txt"
    outside.write_text("not the store's")
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    (folder / "link").symlink_to(outside)
    assert not [line for line in watch(folder) if "may read" in line]
    (folder / "link").unlink()
    for name, bits in modes(folder).items():
        assert bits == (0o700 if (folder / name).is_dir() else 0o600), name
    assert mode(folder) == 0o700
    assert mode(outside) == 0o644


def test_a_disk_that_knows_no_owner_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "snapshots").mkdir(mode=0o755)
    tmp_path.chmod(0o755)
    monkeypatch.setattr(Path, "chmod", failing)
    assert set(close_to_others(tmp_path)) == {tmp_path, tmp_path / "snapshots"}
    monkeypatch.setattr(permissions, "FOLDER", 0o777)
    monkeypatch.setattr(Path, "chmod", lambda *_: None)  # vfat takes it and does nothing
    assert tmp_path in close_to_others(tmp_path)


@pytest.mark.usefixtures("usual_umask")
def test_a_file_is_private_from_its_first_byte_on(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a", b"x", mode=0o600)
    write_bytes(tmp_path / "b", b"x")
    assert (mode(tmp_path / "a"), mode(tmp_path / "b")) == (0o600, 0o644)
