"""Killed or interrupted at any moment: the old file, the new file or none, and never half a file."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest

from edgekit.artifacts.atomic import atomic, write_bytes
from edgekit.artifacts.onnx_file import embed, read_onnx

MOMENTS = 50
ALONE = "EDGEKIT_TESTS_ALONE"  # set in the process that forks
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
    found: list[bytes | None] = []
    leftovers = 0
    for moment in range(40 * MOMENTS):
        if moment >= MOMENTS and set(CONTENTS) <= set(found) and leftovers > 5:
            break  # a busy machine lets the writers write later
        if moment % 10 == 0:
            path.unlink(missing_ok=True)  # the first write of all can be cut off too
        assert kill_after(child(write_on), rng.uniform(0.0, 0.06 * (1 + moment // MOMENTS))) == signal.SIGKILL
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
    checkpoint: Path, pictures: Path, good: Path, good_graph: Callable[[], onnx.ModelProto], tmp_path: Path
) -> None:
    """Forked children export over old files or none; every second one is killed while the new ones are made.

    In a process of its own: a child has one thread only, and what earlier tests left to the garbage collection, with
    threads that it does not have, could keep it waiting for ever.
    """
    if ALONE not in os.environ:
        again = [sys.executable, "-m", "pytest", "-m", "slow", f"{__file__}::test_a_killed_export_leaves_whole_files"]
        run = subprocess.run(again, env={**os.environ, ALONE: "1"}, capture_output=True, text=True, timeout=900)
        assert run.returncode == 0, run.stdout[-3000:]
        assert "1 passed" in run.stdout
        return
    import torch

    from edgekit import pipeline
    from edgekit.graph import to_onnx

    torch.set_num_threads(1)  # threads do not survive a fork
    model, report = tmp_path / "tiny.onnx", tmp_path / "tiny.verify.json"
    earlier = read_onnx(good)  # exports are the same to the byte, so the old files are made a little different
    embed(earlier.model, replace(earlier.metadata, tools={"edgekit": "earlier"}))
    old = {model: earlier.model.SerializeToString(), report: good.with_name(report.name).read_bytes() + b"\n"}
    mark = tmp_path / "verified"

    def export(late: bool) -> None:
        if late:  # torch's part is over when these are killed
            to_onnx.onnx_from_torch = lambda *arguments, **options: good_graph()

        def say(line: str) -> None:
            if line.startswith("batch"):
                mark.touch()  # what follows is lint, sealing and the writing

        pipeline.export(checkpoint, tmp_path, data=pictures, force=True, say=say)

    def killed(seconds: float, late: bool, named: bool = False) -> tuple[bool, float]:
        """Whether a child could be killed after `seconds`, and how long it lived from where they count.

        Args:
            named: they count from when a new file has its name, not from when the net was verified.
        """
        mark.unlink(missing_ok=True)
        before = model.stat().st_ino if model.exists() else 0
        pid = child(lambda: export(late))
        while late and not mark.exists():
            time.sleep(0.002)
        while (
            named
            and (not model.exists() or model.stat().st_ino == before)
            and not os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        ):
            pass
        started = time.monotonic()
        return kill_after(pid, seconds) == signal.SIGKILL, time.monotonic() - started

    length = {late: killed(120, late)[1] for late in (False, True)}
    assert read_onnx(model).metadata.verification["passed"] is True
    rng = random.Random(0)
    moments = new = 0
    for attempt in range(3 * MOMENTS):
        late, fresh = attempt % 2 == 0, attempt % 5 == 0
        for path, content in old.items():
            path.unlink(missing_ok=True)
            if not fresh:
                path.write_bytes(content)
        named = attempt % 10 == 0
        was_killed, lived = killed(0 if named else rng.uniform(0, length[late]), late, named)
        if not was_killed and not named:
            length[late] = min(length[late], lived)  # the machine has become faster
        moments += was_killed
        for path, content in old.items():
            if not path.exists():
                assert fresh
            elif path.read_bytes() != content:
                new += was_killed
                verdict = read_onnx(path).metadata.verification if path == model else json.loads(path.read_text())
                assert verdict["passed"] is True
        if moments == MOMENTS:
            break
    assert moments == MOMENTS
    assert new  # some were killed after the new file had its name
    assert not killed(120, True)[0]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["tiny.onnx", "tiny.verify.json", "verified"]


# the command, which presses Ctrl-C itself, so that a busy machine changes no moment
PRESSING = """
import os, signal, sys, threading
# a shell's background jobs, and so these tests in one, are born with SIGINT ignored
signal.signal(signal.SIGINT, signal.default_int_handler)
moment, *sys.argv[1:] = sys.argv[1:]
press = lambda: os.kill(os.getpid(), signal.SIGINT)

def soon(seconds):
    timer = threading.Timer(seconds, press)
    timer.daemon = True  # or a failure would wait for it
    timer.start()

if moment[0].isdigit():
    soon(float(moment))
elif moment.startswith("import "):
    class Finder:
        def find_spec(self, name, *_):
            if name == moment.split()[1]:
                press()
    sys.meta_path.insert(0, Finder())
else:
    import edgekit.cli.making.export, edgekit.cli.shared.options as options

    def say(line, of=options.say):
        of(line)
        if line.startswith(moment.split()[0]):
            soon(1.0) if moment.endswith("later") else press()

    edgekit.cli.making.export.say = say
from edgekit.cli.start import main
main()
"""


@pytest.mark.parametrize(
    "moment",
    [
        *("0.3", "import torch", "preprocess", "fold later", "file"),
        *(
            pytest.param(moment, marks=pytest.mark.slow)
            for moment in ("0.05", "import torch.nn", "import pydantic", "import onnxruntime", "fold", "onnx")
        ),
    ],
)
def test_ctrl_c_ends_with_130_and_leaves_nothing(moment: str, checkpoint: Path, pictures: Path, tmp_path: Path) -> None:
    """Seconds after the start, in an import, when a stage is reported; the exporter runs between `fold` and `onnx`."""
    arguments = ["export", str(checkpoint), "--data", str(pictures), "--out", str(tmp_path / "out")]
    process = subprocess.run(
        [sys.executable, "-c", PRESSING, moment, *arguments], capture_output=True, text=True, timeout=300
    )
    assert process.returncode == 130, process.stderr
    assert "Traceback" not in process.stderr
    assert "Interrupted" in process.stderr
    assert not (tmp_path / "out").exists()
