"""A command gets each event on its standard input; what it ends with decides whether it is started again."""

import json
import os
import stat
import time
from pathlib import Path
from typing import Any

import pytest

from edgekit.camera.deliver.base import Setup
from edgekit.camera.deliver.command import Command, CommandKeys
from edgekit.camera.deliver.queued.queued import AnsweredError
from edgekit.errors import UsageError
from tests.camera.conftest import config_of, wait_for

EVENT = {"id": "0190", "seq": 7, "label": "$(touch pwned) `id`; Hörnchen"}


def program(folder: Path, text: str) -> str:
    path = folder / "tell"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(stat.S_IRWXU)
    return str(path)


def command(*run: str, **keys: Any) -> Command:
    return Command(Setup(config_of(), False, lambda: 10.0), CommandKeys(run=run, **keys))


def test_the_event_is_on_its_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIL_PASSWORD", "swordfish")
    monkeypatch.chdir(tmp_path)
    command(program(tmp_path, f'cat > {tmp_path}/in; printf "%s" "$1" > {tmp_path}/arg; env > {tmp_path}/env; '
                              "echo noise"), "a b; c").send(EVENT)  # fmt: skip
    assert json.loads((tmp_path / "in").read_text()) == EVENT
    assert (tmp_path / "arg").read_text() == "a b; c"
    assert "swordfish" not in (tmp_path / "env").read_text()
    assert f"PATH={os.environ['PATH']}" in (tmp_path / "env").read_text()
    assert not (tmp_path / "pwned").exists()


def test_nothing_of_it_gets_between_the_lines_on_stdout(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    command(program(tmp_path, "echo noise; echo more >&2")).send(EVENT)
    assert capfd.readouterr() == ("", "")


def test_one_that_fails_says_why(tmp_path: Path) -> None:
    failing = command(program(tmp_path, "cat > /dev/null; echo first >&2; echo no route with swordfish123 >&2; exit 3"),
                      "swordfish123")  # fmt: skip
    with pytest.raises(AnsweredError) as error:
        failing.send(EVENT)
    assert failing._told(error.value) == "the program ended with 3: no route with ***"


def test_one_that_hangs_is_killed_with_what_it_started(tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(AnsweredError, match=r"killed after 0.3 s"):
        command(program(tmp_path, f"sleep 60 & echo $! > {tmp_path}/pid; wait"), timeout=0.3).send(EVENT)
    assert time.monotonic() - begun < 5
    child = Path(f"/proc/{int((tmp_path / 'pid').read_text())}/stat")
    wait_for(lambda: not child.exists() or child.read_text().rpartition(")")[2].split()[0] in "ZX", 5)


def test_one_that_reads_nothing_is_no_error(tmp_path: Path) -> None:
    command(program(tmp_path, "exit 0")).send({**EVENT, "padding": "x" * 200_000})


def test_one_that_is_not_there_is_tried_again() -> None:
    with pytest.raises(OSError, match=r"nowhere"):
        command("/nowhere/tell").send(EVENT)


def test_a_name_without_a_folder_is_refused() -> None:
    with pytest.raises(UsageError, match=r"whole path"):
        command("tell")
