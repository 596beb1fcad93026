"""Small inputs that ask for much end in words within 5 s of processor time and 500 MB (docs/limits.md)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgekit import errors
from tests.faults.bombs import BOMBS

SECONDS, MEGABYTES = 5.0, 500
# these take more than a second to make
LARGE = ("3.5 GB", "177 megapixels", "1 GB", "300 passes", "60 MB", "100 MB", "200 MB", "300 MB", "36 GB", "40 MB")
QUICK = [name for name in BOMBS if not any(word in name for word in LARGE)]
# no error: what is read is the answer
ANSWERED = {"class names 900 KB", "clip a picture that claims 4 GB", "video two billion frames"}


def exploded(folder: Path, names: list[str]) -> dict[str, dict[str, Any]]:
    """What became of each, read under a limit of address space that ends what asks for more."""
    command = [sys.executable, "-m", "tests.faults.bombs", str(folder), "10", "1500", *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr[-2000:]
    found = map(json.loads, done.stdout.splitlines())
    return {result["name"]: result for result in found}


def assert_told(results: dict[str, dict[str, Any]], names: list[str]) -> None:
    assert list(results) == names
    wrong = []
    for name, result in results.items():
        kind, _, text = result["what"].partition(": ")
        ours = issubclass(getattr(errors, kind, int), errors.EdgekitError) and text.strip()
        answered = name in ANSWERED and result["what"] == "read"
        small = result.get("seconds", 99) < SECONDS and result.get("mb", 9999) < MEGABYTES
        if not (small and (ours or answered)):
            wrong.append(result)
    assert not wrong, wrong


def test_small_bombs_are_told(tmp_path: Path) -> None:
    assert_told(exploded(tmp_path, QUICK), QUICK)


@pytest.mark.slow
def test_large_bombs_are_told(tmp_path: Path) -> None:
    names = [name for name in BOMBS if name not in QUICK]
    assert_told(exploded(tmp_path, names), names)
