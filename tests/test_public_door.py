"""The package from outside: `python -m edgekit`, and `help(edgekit)` on a device without torch."""

from __future__ import annotations

import subprocess
import sys

import edgekit

BLOCKED = "import sys; sys.modules['torch'] = sys.modules['torchvision'] = None; "


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=120)


def test_python_m_edgekit_is_the_command() -> None:
    done = python("-m", "edgekit", "--version")
    assert (done.returncode, done.stdout) == (0, f"edgekit {edgekit.__version__}\n"), done.stderr
    assert python("-m", "edgekit", "nonsense").returncode == 2


def test_help_works_without_torch() -> None:
    done = python("-c", BLOCKED + "import edgekit; help(edgekit)")
    assert done.returncode == 0, done.stderr
    assert "class Predictor" in done.stdout
    assert "export(" in done.stdout
    assert "Needs torch, which is not installed" in done.stdout


def test_inspection_works_without_torch_and_a_call_says_what_is_missing() -> None:
    code = BLOCKED + (
        "import inspect, edgekit\n"
        "names = {name for name, _ in inspect.getmembers(edgekit)}\n"
        "assert names >= set(edgekit.__all__), names\n"
        "from edgekit import *\n"
        "try:\n"
        "    edgekit.load_checkpoint('a.pt')\n"
        "except ImportError as error:\n"
        "    print(error.name, '|', error)\n"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "torch | edgekit.load_checkpoint needs torch, which is not installed\n"
