"""Completion: asked as bash, zsh and fish ask, and by the shells themselves where they are."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.artifacts.deployment import shipped_models
from edgekit.cli import app
from edgekit.cli.shared.complete import COMPLETED
from edgekit.config.backends import BACKENDS
from edgekit.config.recipe import recipe_names
from edgekit.config.target import target_names

EDGEKIT = Path(sys.executable).with_name("edgekit")
pytestmark = pytest.mark.skipif(not EDGEKIT.exists(), reason="edgekit is not installed as a command here")


def asked(line: str, folder: Path) -> list[str]:
    """What bash is offered at the end of `line`."""
    words = line.split(" ")
    told = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1), "_EDGEKIT_COMPLETE": "complete_bash"}
    done = subprocess.run(
        [EDGEKIT], env={**os.environ, **told}, cwd=folder, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("edgekit ex", ["export"]),
        ("edgekit bench a.onnx --com", ["--compare"]),
        ("edgekit predict ", shipped_models()),
        ("edgekit bench hornet-mobile ", shipped_models()),
        ("edgekit camera -m ", shipped_models()),
        ("edgekit train ", recipe_names()),
        ("edgekit export a.pt -t ", target_names()),
        ("edgekit bench a.onnx --backend ", tuple(BACKENDS)),
        ("edgekit export a.pt --precision ", ("fp32", "fp16", "int8")),
        ("edgekit eval a.onnx --split ", ("train", "val", "test", "all")),
        ("edgekit predict --provider c", ("cpu", "cuda")),
        ("edgekit predict nothing-like-it", ()),  # files, then, by the shell
        ("edgekit eval a.onnx --data ", ()),
    ],
)
def test_names_are_offered(line: str, expected: list[str], tmp_path: Path) -> None:
    assert asked(line, tmp_path) == list(expected)


def test_files_that_begin_alike_are_offered_beside_names(tmp_path: Path) -> None:
    for name in ("hornets.onnx", "hornets.txt", "other.onnx", "h .onnx"):
        (tmp_path / name).touch()
    (tmp_path / "hives").mkdir()
    assert asked("edgekit predict h", tmp_path) == ["hornet-mobile", "hives/", "hornets.onnx"]


def test_every_word_that_completes_is_used() -> None:
    from tests.cli.test_help import GROUP

    words = {p.metavar for c in GROUP.commands.values() for p in c.params}
    assert COMPLETED.keys() <= words


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_itself_completes(shell: str, tmp_path: Path) -> None:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not installed")
    home = {**os.environ, "HOME": str(tmp_path), "PATH": f"{EDGEKIT.parent}:{os.environ['PATH']}"}

    def run(*words: object) -> str:
        done = subprocess.run(list(map(str, words)), env=home, cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert str(tmp_path) in run(EDGEKIT, "--install-completion", shell)
    if shell == "bash":
        ask = "COMP_WORDS=(edgekit predict horn); COMP_CWORD=2; _edgekit_completion edgekit; echo ${COMPREPLY[@]}"
        answer = run(found, "--norc", "-c", f"source ~/.bashrc; complete -p edgekit; {ask}")
        assert "complete -o default -F _edgekit_completion edgekit" in answer
    elif shell == "zsh":
        given = "compdef() { :; }; _arguments() { print -r -- $*; }; words=(edgekit predict horn); CURRENT=3"
        answer = run(found, "-f", "-c", f"{given}; source ~/.zfunc/_edgekit; _edgekit_completion")
    else:
        answer = run(found, "-c", "complete -C 'edgekit predict horn'")
    assert "hornet-mobile" in answer


def test_the_script_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["--show-completion", "zsh"]) == 0
    assert capsys.readouterr().out.startswith("#compdef edgekit\n")
    assert app.run(["--show-completion", "tcsh"]) == 2
