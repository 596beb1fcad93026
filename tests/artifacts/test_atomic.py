"""Files are whole or not there, and who cannot write is told why."""

from __future__ import annotations

import ast
import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.artifacts.atomic import atomic, make_folder, refuse_existing, write_bytes
from edgekit.errors import OutputError

ROOT = Path(__file__).parents[2] / "edgekit"


def test_a_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    with atomic(path) as stream:
        stream.write(b"half")
        stream.flush()
        assert not path.exists()
        stream.write(b"whole")
    assert path.read_bytes() == b"halfwhole"
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"old")
    with atomic(path, overwrite=True) as stream:
        stream.write(b"new")
        stream.flush()
        assert path.read_bytes() == b"old"
        reader = path.open("rb")
    assert path.read_bytes() == b"new"
    with reader:  # who had the old file open keeps a whole one: it was renamed over, not written into
        assert reader.read() == b"old"


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), SystemExit(1)])
@pytest.mark.parametrize("before", [None, b"old"])
def test_an_error_inside_leaves_what_was_there_and_no_temporary(
    tmp_path: Path, error: BaseException, before: bytes | None
) -> None:
    path = tmp_path / "m.onnx"
    if before is not None:
        path.write_bytes(before)
    with pytest.raises(type(error)), atomic(path, overwrite=True) as stream:
        stream.write(b"half")
        raise error
    assert [p.name for p in tmp_path.iterdir()] == (["m.onnx"] if before else [])
    assert not before or path.read_bytes() == before


def test_the_data_reach_the_disk_before_the_name_does_and_the_name_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    monkeypatch.setattr(os, "fsync", lambda fd: seen.append((tmp_path / "m").exists() or os.fstat(fd).st_size != 3))
    write_bytes(tmp_path / "m", b"abc")
    assert seen == [False, True]


def test_an_existing_file_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(b"old")
    for attempt in (lambda: write_bytes(path, b"new"), lambda: refuse_existing(path, False)):
        with pytest.raises(OutputError, match="exists already") as caught:
            attempt()
        assert "--force" in str(caught.value.fix)
    assert path.read_bytes() == b"old"
    refuse_existing(path, True)
    write_bytes(path, b"new", overwrite=True)
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("name", ["m.onnx", "m[1].onnx", "m*.onnx"])
def test_leftovers_of_dead_processes_are_removed_and_of_living_ones_not(tmp_path: Path, name: str) -> None:
    finished = subprocess.Popen([sys.executable, "-c", ""])
    finished.wait()
    dead = tmp_path / f".{name}.{finished.pid}-00ff00ff.tmp"
    living = tmp_path / f".{name}.{os.getpid()}-00ff00ff.tmp"
    other = tmp_path / f".other.onnx.{finished.pid}-00ff00ff.tmp"
    strange = tmp_path / f".{name}.x-y.tmp"
    for path in (dead, living, other, strange):
        path.touch()
    write_bytes(tmp_path / name, b"x")
    assert not dead.exists()
    assert all(path.exists() for path in (living, other, strange))


def test_a_full_disk_is_said_to_be_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="the disk is full"):
        write_bytes(tmp_path / "m", b"x")
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_something_that_the_block_reads_is_not_blamed_on_the_output(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic(tmp_path / "m"):
        (tmp_path / "absent").read_bytes()
    assert list(tmp_path.iterdir()) == []


def test_folders_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="could not be written"):
        write_bytes(tmp_path / "absent" / "m", b"x")
    with pytest.raises(OutputError, match="could not be written"):
        write_bytes(tmp_path / "file" / "m", b"x")
    with pytest.raises(OutputError, match="cannot be written to"):
        make_folder(tmp_path / "file")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="could not be written"):
        write_bytes(tmp_path / "folder", b"x", overwrite=True)
    make_folder(tmp_path / "new" / "deep")
    assert list((tmp_path / "new" / "deep").iterdir()) == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder", "new"]


# Files that do not go through `atomic`, each with its reason
OTHERWISE = {
    "benchmark/pictures.py": "into a temporary folder that goes with the measurement",
    "benchmark/pack/write.py": "an entry of a zip that `atomic` writes",
    "camera/deliver/video_file.py": "OpenCV writes it, by its name",
    "camera/store/avi.py": "grows for minutes beside the store's own temporary names",
    "camera/store/repair.py": "renames a database that is there",
    "data/writing/convert.py": "into a hidden folder, which is renamed when all of it is there",
    "updating/probe.py": "tells the kernel, below /proc, which process may go first",
}


def test_nobody_else_writes_a_file_in_place() -> None:
    """A call that writes or renames a file, anywhere but in `atomic.py`."""
    found = set()
    for file in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            modes = [a.value for a in (*node.args, *(k.value for k in node.keywords)) if isinstance(a, ast.Constant)]
            opens = name == "open" and any(isinstance(m, str) and set(m) & set("wax") and len(m) < 4 for m in modes)
            writes = name == "write_text" or (name == "write_bytes" and isinstance(node.func, ast.Attribute))
            receiver = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
            renames = name in ("replace", "rename") and re.search(r"(path|temporary)$|^os$|with_name", receiver)
            if opens or writes or renames:
                found.add(file.relative_to(ROOT).as_posix())
    assert found == {"artifacts/atomic.py", *OTHERWISE}
