"""Runs a block: plain lines of `edgekit` in this process, whose PyTorch is there already, all else in a shell."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from edgekit.cli.app import run
from tests.docs.blocks import ROOT, Block

NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e-?\d+)?")
MARK = "=-=-="
# a card's training, to which a reader gives hours: one epoch of small pictures
SHORT = ("schedule.epochs=1", "schedule.batch=4", "input.size=64", "input.train_size=64")
MADE = ("synthetic://hive?n=400&val=60", "synthetic://hive?n=8&val=4")


def run_block(block: Block, folder: Path) -> None:
    """Each line of a block of sh must end well; a console must print what it shows."""
    where = f"{block.document}:{block.line}"
    if block.kind == "console":
        run_console(block, folder)
        return
    lines = plain(block.text)
    if lines and not block.seconds:
        for words in lines:
            code, printed = in_process(cut(words) if block.document.startswith("models/") else words, folder)
            assert code == 0, f"{where}: {shlex.join(words)} ended with {code}:\n{printed[-2000:]}"
        return
    done = shell(f"set -e\n{block.text}", folder, seconds=block.seconds)
    fine = (0, 130) if block.seconds else (0,)
    assert done.returncode in fine, f"{where} ended with {done.returncode}:\n{done.stdout[-3000:]}"


def run_console(block: Block, folder: Path) -> None:
    commands = typed(block.text)
    script = "\n".join(f"{command}\n_code=$?; echo '{MARK}'; (exit $_code)" for command, _ in commands)
    done = shell(script, folder)
    parts = done.stdout.split(MARK + "\n")
    for (command, shown), printed in zip(commands, parts, strict=False):
        lost = missing(shown, printed)
        assert not lost, f"{block.document}:{block.line}: {command}\ndid not print {lost}, but:\n{printed}"
    assert len(parts) == len(commands) + 1, f"{block.document}:{block.line}: {done.stdout}"


def plain(text: str) -> list[list[str]]:
    """The words of each line where all are `edgekit` and nothing of a shell's; else none."""
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    found = [shlex.split(line, comments=True) for line in lines]
    found = [words for words in found if words]
    shells = any(words[0] != "edgekit" or re.search(r"[$;<>*`]|\|", " ".join(words)) for words in found)
    return [] if shells else found


def cut(words: list[str]) -> list[str]:
    """A card's command, made short."""
    words = [word.replace(*MADE) for word in words]
    if words[1] != "train":
        return words
    more = [item for value in SHORT for item in ("--set", value)]
    if words[2].startswith(("classifier", "resnet")):
        more += ["--set", "compete.share=0", "--set", "input.shorter_side=64"]
    return words + more + ([] if "--data" in words else ["--data", MADE[1]])


def in_process(words: list[str], folder: Path) -> tuple[int, str]:
    """Exit code and output of `edgekit WORDS`, called in `folder`."""
    out = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        code = run(words[1:])
    return code, out.getvalue()


def shell(script: str, folder: Path, seconds: int = 0) -> subprocess.CompletedProcess[str]:
    """What bash makes of `script` in `folder`; output and errors in one text, as they came."""
    environment = {
        **os.environ, "PATH": f"{folder / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HIVE_PASSWORD": "secret", "HIVE_TOKEN": "a-token-of-16-letters", "COLUMNS": "200",
        "SERVES": str(seconds) if seconds else "", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
    }  # fmt: skip
    return subprocess.run(
        ["bash", "-c", script], cwd=folder, env=environment, timeout=550,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
    )  # fmt: skip


def typed(console: str) -> list[tuple[str, list[str]]]:
    """The commands of a console, each with the lines that it is shown to print."""
    found: list[tuple[str, list[str]]] = []
    for line in console.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line.strip() and line != "...":
            found[-1][1].append(line)
    return found


def missing(shown: list[str], printed: str) -> list[str]:
    """Lines that are shown and were not printed, in their order; numbers in them may be others, a lone one may not."""

    def alike(line: str) -> str:
        return line.strip() if line.strip().isdigit() else NUMBER.sub("#", line.rstrip())

    there = iter(alike(line) for line in printed.splitlines())
    return [line for line in shown if alike(line) not in there]
