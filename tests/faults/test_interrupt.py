"""Killed or interrupted at any moment: the old file, the new file or none, and never half a file."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from edgekit.artifact import atomic, read_onnx, write_bytes

MOMENTS = 50
# two contents of one length, so that a mixture of them would not show by its size
CONTENTS = (b"a" * 4_000_000, b"b" * 4_000_000)


def child(work: Any) -> int:
    """The pid of a forked process that does `work` and ends there."""
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
    finally:
        os._exit(0)


def kill_after(pid: int, seconds: float) -> int:
    """Kills `pid` after `seconds` and gives the signal that ended it: 0 when it ended by itself before."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return 0
        time.sleep(0.001)
    os.kill(pid, signal.SIGKILL)
    return os.WTERMSIG(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("seed", [0])
def test_a_killed_write_leaves_a_whole_file(seed: int, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"

    def write_on() -> None:
        while True:
            for content in CONTENTS:
                write_bytes(path, content, overwrite=True)

    rng = random.Random(seed)
    found, leftovers = [], 0
    for moment in range(MOMENTS):
        if moment % 10 == 0:
            path.unlink(missing_ok=True)  # the first write of all can be cut off too
        assert kill_after(child(write_on), rng.uniform(0.0, 0.06)) == signal.SIGKILL
        content = path.read_bytes() if path.exists() else None
        assert content in (None, *CONTENTS)
        found.append(content)
        leftovers += len(list(tmp_path.glob(".*.tmp")))
        write_bytes(path, CONTENTS[0], overwrite=True)
        assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]  # what the killed one left is gone
    assert set(CONTENTS) <= set(found)
    assert leftovers > 5  # or nothing was hit while it was writing


def test_the_leftovers_of_a_writer_that_lives_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    with atomic(path) as outer:
        outer.write(b"outer")
        write_bytes(path, b"inner")
        assert len(list(tmp_path.glob(".*.tmp"))) == 1
    assert path.read_bytes() == b"outer"


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, OSError("broken")])
def test_an_error_while_writing_leaves_the_old_file(error: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    write_bytes(path, b"old")
    with pytest.raises((KeyboardInterrupt, MemoryError, Exception)), atomic(path, overwrite=True) as stream:
        stream.write(b"half of the n")
        raise error
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]
    assert path.read_bytes() == b"old"


@pytest.mark.slow
def test_a_killed_export_leaves_whole_files(
    cli: Any, checkpoint: Path, pictures: Path, good: Path, tmp_path: Path
) -> None:
    """Forked children export over old files; half of them are killed around the writing of the new ones."""
    import torch

    torch.set_num_threads(1)  # threads do not survive a fork
    model, report = tmp_path / "tiny.onnx", tmp_path / "tiny.verify.json"
    old = {path: good.with_name(path.name).read_bytes() for path in (model, report)}
    marks = tmp_path / "marks"
    marks.mkdir()

    def export() -> None:
        from edgekit import pipeline

        def say(line: str) -> None:
            if line.startswith("batch"):
                (marks / "writing").touch()  # what follows is lint, sealing and the writing

        pipeline.export(checkpoint, tmp_path, data=pictures, force=True, say=say)
        (marks / "done").touch()

    def run(seconds: float, after_mark: bool) -> int:
        for mark in marks.iterdir():
            mark.unlink()
        pid = child(export)
        while after_mark and not (marks / "writing").exists():
            time.sleep(0.002)
        return kill_after(pid, seconds)

    started = time.monotonic()
    assert run(120, False) == 0
    whole = time.monotonic() - started
    assert (marks / "done").exists()
    started = time.monotonic()
    assert run(120, True) == 0
    tail = (time.monotonic() - started) / 3

    rng = random.Random(0)
    killed = changed = 0
    for moment in range(MOMENTS):
        if moment % 5 == 0:
            model.unlink(missing_ok=True)
            report.unlink(missing_ok=True)
        else:
            for path, content in old.items():
                path.write_bytes(content)
        late = moment % 2 == 0
        killed += run(rng.uniform(0, tail) if late else rng.uniform(0, whole), late) == signal.SIGKILL
        for path, content in old.items():
            if not path.exists():
                assert moment % 5 == 0
            elif path.read_bytes() != content:
                changed += 1
                if path == model:
                    assert read_onnx(path).metadata.verification["passed"] is True
                else:
                    assert json.loads(path.read_text())["passed"] is True
    assert killed > MOMENTS / 2
    assert changed  # some got as far as a new file
    assert run(120, False) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["marks", "tiny.onnx", "tiny.verify.json"]


@pytest.mark.parametrize("moment", ["at once", "preprocess", "fold", "onnx", "file"])
def test_ctrl_c_ends_with_130_and_leaves_nothing(moment: str, checkpoint: Path, pictures: Path, tmp_path: Path) -> None:
    """Interrupted a little after a stage was reported; the exporter runs between `fold` and `onnx`."""
    code = "from edgekit.cli.app import main; print('ready', flush=True); main()"
    arguments = ["export", str(checkpoint), "--data", str(pictures), "--out", str(tmp_path / "out")]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if line.startswith("ready" if moment == "at once" else moment):
            break
    time.sleep({"at once": 0.3, "fold": 1.0}.get(moment, 0.01))
    process.send_signal(signal.SIGINT)
    said += process.communicate(timeout=60)[0]
    assert "Traceback" not in said
    assert process.returncode == 130, said
    assert "Interrupted" in said
    assert not (tmp_path / "out").exists()
