"""The reference of the commands: what `edgekit COMMAND --help` prints, for each."""

from __future__ import annotations

import os
import subprocess
import sys

import typer

from edgekit.cli.app import app

INTRODUCTION = """# Every command's help

What `edgekit COMMAND --help` prints, word for word, of this version. What the options mean for one another, and what
was measured, stands in [Commands](../commands.md).
"""


def names() -> list[str]:
    """The commands, in the order of `edgekit --help`."""
    group = typer.main.get_command(app)
    return list(group.commands)  # type: ignore[attr-defined]


def help_of(command: str) -> str:
    """As a terminal of 100 columns shows it."""
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    line = [sys.executable, "-m", "edgekit", *command.split(), "--help"]
    done = subprocess.run(line, capture_output=True, text=True, env=environment, check=True)
    return done.stdout.rstrip()


def page() -> str:
    sections = [f"## edgekit {name}\n\n```text\n{help_of(name)}\n```\n" for name in names()]
    return "\n".join((INTRODUCTION, f"```text\n{help_of('')}\n```\n", *sections))
