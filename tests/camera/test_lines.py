"""Lines on stdout: a consumer that died, one that reads slowly, a FIFO that is opened again, a full disk."""

import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edgekit.camera.deliver import lines as lines_module
from edgekit.camera.deliver.lines import Lines


@contextmanager
def piped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A FIFO that this process' stdout writes to; pytest takes stdout back after each fixture."""
    path = folder / "fifo"
    os.mkfifo(path)
    first = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with path.open("w") as stdout, monkeypatch.context() as patch:
        os.close(first)
        patch.setattr(sys, "stdout", stdout)
        yield path


def reading(path: Path) -> int:
    return os.open(path, os.O_RDONLY | os.O_NONBLOCK)


def numbers(data: bytes) -> list[int]:
    return [json.loads(line)["seq"] for line in data.splitlines()]


@pytest.mark.parametrize("patient", [True, False])
def test_who_opens_the_fifo_again_gets_what_was_told_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patient: bool
) -> None:
    with piped(tmp_path, monkeypatch) as fifo:
        lines = Lines(patient)
        reader = reading(fifo)
        lines.deliver({"seq": 1})
        assert lines.problem == ""
        assert numbers(os.read(reader, 999)) == [1]
        os.close(reader)
        lines.deliver({"seq": 2})
        lines.deliver({"seq": 3})
        assert "Broken pipe" in lines.problem
        reader = reading(fifo)
        lines.deliver({"seq": 4})
        assert lines.problem == ""
        assert numbers(os.read(reader, 999)) == [2, 3, 4]
        assert lines.lost == lines.waiting == 0
        os.close(reader)


def test_a_consumer_that_hangs_holds_up_nobody_and_gets_whole_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with piped(tmp_path, monkeypatch) as fifo:
        monkeypatch.setattr(lines_module, "_WAITING", 100)
        lines, reader = Lines(patient=False), reading(fifo)
        told: list[Any] = [{"seq": i, "padding": "ä" * 4000} for i in range(200)]
        for event in told[:100]:
            lines.deliver(event)  # a pipe holds 64 kB
        assert lines.problem == ""
        assert lines.waiting > 80
        for event in told[100:]:
            lines.deliver(event)
        assert lines.lost > 80
        assert "nobody reads" in lines.problem
        got = b""
        while lines.waiting:
            got += os.read(reader, 1 << 20)
            lines.flush()
        assert lines.problem == ""
        got += os.read(reader, 1 << 20)
        assert len(numbers(got)) + lines.lost == 200
        assert numbers(got) == sorted(numbers(got))
        os.close(reader)


def test_of_a_file_a_slow_consumer_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with piped(tmp_path, monkeypatch) as fifo:
        lines, reader = Lines(patient=True), reading(fifo)
        thread = threading.Thread(target=lambda: [lines.deliver({"seq": i, "padding": "x" * 9000}) for i in range(50)])
        thread.start()
        os.set_blocking(reader, True)
        got = b""
        while got.count(b"\n") < 50:
            got += os.read(reader, 5000)
        thread.join(10)
        assert numbers(got) == list(range(50))
        os.close(reader)


def test_what_nobody_took_at_the_end_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with piped(tmp_path, monkeypatch):
        lines = Lines(patient=False)
        for i in range(3):
            lines.deliver({"seq": i})
        lines.close()
        assert (lines.lost, lines.waiting) == (3, 0)
        assert "Broken pipe" in lines.problem


def test_a_full_disk_under_a_file_of_lines_breaks_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, room = os.write, [30]

    def write(target: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(28, "No space left on device")
        taken = whole(target, data[: room[0]])
        room[0] -= taken
        return taken

    with (tmp_path / "lines").open("w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        monkeypatch.setattr(os, "write", write)
        lines = Lines(patient=False)
        for i in range(10):
            lines.deliver({"seq": i, "padding": "xxxxxxx"})
        assert "No space left" in lines.problem
        room[0] = 10**6
        lines.flush()
        assert lines.problem == ""
        monkeypatch.undo()
    assert numbers((tmp_path / "lines").read_bytes()) == list(range(10))
