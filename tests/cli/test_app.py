"""The command line as a whole: start-up time, exit codes, errors in words."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

import edgekit
from edgekit import errors
from edgekit.cli import app

START = [sys.executable, "-c", "from edgekit.cli.app import main; main()"]


def seconds(command: list[str]) -> float:
    """Processor time of a command; it has one thread, so on a free machine this is how long it takes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.alone
def test_help_starts_quickly() -> None:
    # in turn, so that both see the same machine; the quickest of each is what the code itself costs
    pairs = [(seconds([*START, "--help"]), seconds([sys.executable, "-c", "pass"])) for _ in range(9)]
    assert min(a for a, _ in pairs) - min(b for _, b in pairs) <= 0.15


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["--version"]) == 0
    assert capsys.readouterr().out == f"edgekit {edgekit.__version__}\n"


@pytest.mark.parametrize(
    "words", [["nonsense"], ["export"], ["export", "x.pt", "--nonsense"], ["predict", "--top", "0"]]
)
def test_usage_errors_end_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    assert said.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.EdgekitError("what"), 1),
        (errors.UsageError("what"), 2),
        (errors.VerificationError("what"), 3),
        (errors.RegressionError("what"), 4),
        (errors.ArtifactError("what"), 5),
        (errors.BackendError("what"), 5),
        (KeyboardInterrupt(), 130),
        (MemoryError(), 1),
        (ZeroDivisionError("what"), 1),
    ],
)
def test_exit_codes(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(app, "app", fail)
    assert app.run([]) == code
    said = capsys.readouterr()
    assert said.err.startswith("error: ")
    assert "Traceback" not in said.err


def test_debug_shows_the_traceback(tmp_path: object) -> None:
    done = subprocess.run([*START, "--debug", "export", "missing.pt"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_a_closed_pipe_is_no_error() -> None:
    shell = f"{sys.executable} -c 'from edgekit.cli.app import main; main()' doctor --format json | head -1"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {shell}"], capture_output=True, text=True, timeout=120)
    assert done.stdout == "{\n"
    said = [line for line in done.stderr.splitlines() if not line.startswith("still at it")]  # on a slow machine
    assert len(said) <= 1  # the next command at most
