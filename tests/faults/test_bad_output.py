"""Output that cannot be written: a clear error, its exit code, nothing half, whatever was there before kept."""

from __future__ import annotations

import errno
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from edgekit.artifacts import atomic
from edgekit.artifacts.onnx_file import read_onnx
from tests.faults.room import EDGEKIT, Room, assert_told, listing


def test_a_file_cannot_be_the_output_folder(cli: Any, room: Room) -> None:
    (room / "file").write_text("mine")
    for out in (room / "file", room / "file" / "below"):
        before = listing(room.folder)
        outcome = cli("export", room.checkpoint, "--data", room.pictures, "--out", out)
        assert_told(outcome, 1, "cannot be written to", "--out")
        assert listing(room.folder) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere; the case below a file stands for it")
def test_a_folder_without_permission(cli: Any, room: Room) -> None:
    (room / "out").mkdir(mode=0o500)
    assert_told(cli("export", room.checkpoint, "--data", room.pictures, "--out", room / "out"), 1, "Permission denied")


@pytest.mark.slow
def test_an_existing_output_is_kept_without_force_and_replaced_with_it(cli: Any, room: Room) -> None:
    out = room / "out"
    out.mkdir()
    for name in ("tiny.onnx", "tiny.verify.json"):
        (out / name).write_text("old")
        before = listing(room.folder)
        outcome = cli("export", room.checkpoint, "--data", room.pictures, "--out", out)
        assert outcome.code == 1
        assert f"{name} exists already" in outcome.err
        assert "--force" in outcome.err
        assert listing(room.folder) == before
        (out / name).unlink()
    (out / "tiny.onnx").write_text("old")
    outcome = cli("export", room.checkpoint, "--data", room.pictures, "--out", out, "--force")
    assert outcome.code == 0, outcome.text
    assert read_onnx(out / "tiny.onnx").metadata.verification["passed"] is True


@pytest.fixture
def no_torch_export(monkeypatch: pytest.MonkeyPatch, good_graph: Callable[[], onnx.ModelProto]) -> None:
    """The graph of the good export instead of a new one: what happens afterwards is under test."""
    from edgekit.graph import to_onnx

    monkeypatch.setattr(to_onnx, "onnx_from_torch", lambda *a, **k: good_graph())


@pytest.mark.usefixtures("no_torch_export")
@pytest.mark.parametrize("moment", ["write", "fsync"])
def test_a_full_disk_leaves_nothing(moment: str, cli: Any, room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if moment == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    else:

        class FullFile(io.FileIO):
            write = full  # type: ignore[assignment]

        def opened(path: Path, mode: str = "r", **named: Any) -> Any:
            return FullFile(path, "x") if mode == "xb" else Path(path).open(mode)

        monkeypatch.setattr(atomic, "open", opened, raising=False)  # what writes a file there
    out = room / "out"
    out.mkdir()
    (out / "tiny.onnx").write_text("old")
    outcome = cli("export", room.checkpoint, "--data", room.pictures, "--out", out, "--force")
    monkeypatch.undo()
    assert_told(outcome, 1, "the disk is full", "No space left", "free some space")
    assert listing(out) == {"tiny.onnx": b"old"}


def _can_unshare() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "-Urm", "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not _can_unshare(), reason="needs unshare -Urm to mount a small disk")
def test_a_disk_that_is_really_full_leaves_nothing(room: Room) -> None:
    out = room / "disk"
    out.mkdir()
    script = (
        'mount -t tmpfs -o size=1m none "$1" && echo old > "$1/tiny.onnx" && '
        '"$2" -c "from edgekit.cli.app import main; main()" export "$3" --data "$4" --out "$1" --force; '
        'echo "code $?"; ls -A "$1"; cat "$1/tiny.onnx"'
    )
    arguments = [str(out), sys.executable, str(room.checkpoint), str(room.pictures)]
    command = ["unshare", "-Urm", "sh", "-c", script, "sh", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.splitlines() == ["code 1", "tiny.onnx", "old"], done.stdout + done.stderr
    assert "the disk is full" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_result_that_cannot_be_printed_is_an_error(room: Room) -> None:
    command = [*EDGEKIT, "predict", str(room.good), str(room.pictures), "--format", "json"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "No space left" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["predict", "--help"])
def test_a_reader_that_stops_reading_is_not_an_error(command: str, room: Room) -> None:
    read, write = os.pipe()
    os.close(read)
    process = [*EDGEKIT, command]
    if command == "predict":
        process += [str(room.good), str(room.pictures), "--format", "json"]
    done = subprocess.run(process, stdout=write, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    os.close(write)
    told = [line for line in done.stderr.splitlines() if not line.startswith("still at it")]  # on a busy machine
    assert (done.returncode, told) == (0, [])
