"""What `--help` prints: groups, words for values, examples that are command lines, whole words at every width."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from typing import Any

import pytest
import typer

from edgekit.cli import app
from edgekit.cli.shared.helptext import LOOKING, MAKING, RUNNING
from tests.command_lines import commands, problems

GROUP: Any = typer.main.get_command(app.app)
COMMANDS = list(GROUP.commands)
PYTHONS = re.compile(r"[<>]|\blist\[|\btuple\[|\bPath\b|\bint\b|\bstr\b|\bfloat range\b|\bboolean\b")


def helped(words: list[str], width: int, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    patch.setenv("COLUMNS", str(width))
    assert app.run([*words, "--help"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_words_stay_whole_and_nothing_is_pythons(
    command: str, width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = helped([command] if command else [], width, monkeypatch, capsys)
    assert [line for line in printed.splitlines() if len(line) > min(width, 80)] == []
    told = GROUP.commands[command] if command else GROUP
    for parameter in told.params:
        assert [word for word in (parameter.help or "").split() if word not in printed.split()] == []
        assert PYTHONS.findall(str(parameter.metavar or "")) == []
    assert [word for word in (told.help or "").split() if word not in printed.split()] == []
    assert PYTHONS.findall("\n".join(line[:24] for line in printed.splitlines() if line.startswith("  "))) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_options_have_groups_and_output_stands_last(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = GROUP.commands[command]
    options = [p for p in told.params if p.param_type_name == "option"]
    assert [p.name for p in options if not p.rich_help_panel] == []
    printed = helped([command], 80, monkeypatch, capsys)
    titles = re.findall(r"^(\S.*):$", printed, re.MULTILINE)
    assert titles[-2:] == ["Output", "Examples"]
    assert len(titles) == len(set(titles))
    for option in options:
        assert f"{option.rich_help_panel}:\n" in printed


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_examples_are_command_lines(command: str) -> None:
    examples = (GROUP.commands[command] if command else GROUP).examples
    assert 2 <= len(examples) <= 4
    assert problems("```sh\n" + "\n".join(examples) + "\n```") == []
    assert [line for line in examples if len(line) > 56] == []
    assert [line for line in examples if not line.startswith(f"edgekit {command}".rstrip())] == []


def test_an_example_with_an_option_that_is_not_there_is_found() -> None:
    assert len(problems("```sh\nedgekit export a.pt --planted\n```")) == 1


def test_commands_stand_in_three_groups(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    printed = helped([], 60, monkeypatch, capsys)
    assert {c.rich_help_panel for c in GROUP.commands.values()} == {MAKING, RUNNING, LOOKING}
    assert "130 interrupted" in " ".join(printed.split())
    assert "..." not in printed.split("\n", 1)[1]  # nothing is cut
    assert set(COMMANDS) == set(commands()) - {""}


@pytest.mark.parametrize("words", [["--help"], ["export", "--help"], ["nonsense"], ["predict", "--top", "0"]])
def test_no_colour_on_a_terminal(words: list[str]) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", "from edgekit.cli.app import main; main()", *words]
    environment = {**os.environ, "NO_COLOR": "1", "TERM": "xterm-256color"}
    subprocess.run(command, stdout=theirs, stderr=theirs, env=environment, timeout=60, check=False)
    os.close(theirs)
    printed = b""
    try:
        while block := os.read(ours, 1 << 16):
            printed += block
    except OSError:  # Linux says so at the end
        pass
    os.close(ours)
    assert b"Usage: " in printed
    assert re.findall(rb"\x1b\[[\d;]*m", printed) == []
