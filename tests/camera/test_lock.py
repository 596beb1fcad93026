"""One process a store: the second is refused with the reason, by whatever path it comes, and a kill -9 frees it."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.camera.events.uuid7 import uuid7
from edgekit.camera.store.lock import NAME, Lock
from edgekit.camera.store.reader import Reader
from edgekit.errors import BusyError
from tests.camera.test_store import event, opened, rows_of
from tests.conftest import Cli


def test_a_second_writer_is_refused_and_the_first_loses_nothing(tmp_path: Path) -> None:
    store, ident = opened(tmp_path / "store"), uuid7()
    store.add(event(ident, "start", seq=store.next_seq()))
    running = tmp_path / "store" / "clips" / "2026-08-01" / f".{ident}.1.tmp.avi"
    running.parent.mkdir(parents=True)
    running.touch()
    (tmp_path / "link").symlink_to("store")
    for path in (tmp_path / "store", tmp_path / "link", tmp_path / "store" / ".." / "store"):
        with pytest.raises(BusyError, match="another process") as refused:
            opened(path)
        assert refused.value.exit_code == 5
        assert "process" in str(refused.value.got)
    assert running.exists()
    assert Reader(tmp_path / "link").visits()[0]["type"] == "start"  # who only reads needs no lock
    store.close()
    assert len(opened(tmp_path / "link").unfinished()) == 1


def test_the_command_says_who_has_the_store_and_exits_with_5(cli: Cli, tmp_path: Path) -> None:
    store = opened(tmp_path / "out" / "store")
    outcome = cli(
        "camera", "--source", "synthetic://hive?frames=1", "--model", "centernet-tiny", "--out", tmp_path / "out"
    )
    assert outcome.code == 5
    assert "store.folder=" in outcome.err
    assert rows_of(tmp_path / "out" / "store") == {}
    store.close()


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", "import sys, time\nfrom pathlib import Path\n"
                               "from edgekit.camera.store.lock import Lock\n"
                               "lock = Lock(Path(sys.argv[1]))\nprint(1, flush=True)\ntime.sleep(60)", str(tmp_path)],
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert child.stdout is not None
    assert child.stdout.readline() == b"1\n"
    with pytest.raises(BusyError, match="another process") as refused:
        Lock(tmp_path)
    assert f"process {child.pid} " in str(refused.value.got)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    Lock(tmp_path).release()


def test_numbers_are_remembered_whatever_is_in_the_file(tmp_path: Path) -> None:
    lock = Lock(tmp_path)
    lock.cover(5)
    lock.cover(6)
    lock.release()
    again = Lock(tmp_path)
    assert again.mark >= 6
    again.release()
    (tmp_path / NAME).write_bytes(b"\xff no number 99999999999999999999999999")
    broken = Lock(tmp_path)
    assert broken.mark == 0
    broken.release()


def test_a_lock_that_was_deleted_is_not_in_place(tmp_path: Path) -> None:
    lock = Lock(tmp_path)
    assert lock.in_place
    (tmp_path / NAME).unlink()
    assert not lock.in_place
    other = Lock(tmp_path)
    assert not lock.in_place
    lock.release()
    other.release()
