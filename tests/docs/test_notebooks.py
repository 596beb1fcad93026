"""The notebooks run from a new kernel, and print what stands in them; numbers may be others."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from docs.site.notebooks import NOTEBOOKS

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
ROOT = Path(__file__).parents[2]
NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e-?\d+)?")
LARGEST = 90_000  # bytes


def printed(cells: list[Any]) -> list[list[str]]:
    """Of each cell with code its lines, numbers as #, and what else it shows by its kind."""
    found = []
    for cell in cells:
        if cell.cell_type == "code":
            texts = [o.get("text") or o.get("data", {}).get("text/plain", "") for o in cell.outputs]
            kinds = [kind for o in cell.outputs for kind in o.get("data", {}) if kind.startswith("image/")]
            found.append(NUMBER.sub("#", "".join(texts)).splitlines() + kinds)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_and_prints_what_stands_in_it(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(path, as_version=4)
    wanted = printed(notebook.cells)
    place = {"metadata": {"path": tmp_path}}
    nbclient.NotebookClient(notebook, timeout=500, kernel_name="python3", resources=place).execute()
    assert printed(notebook.cells) == wanted


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_light_and_has_no_trace_of_its_making(path: Path) -> None:
    assert path.stat().st_size < LARGEST
    notebook = nbformat.read(path, as_version=4)
    assert [cell.id for cell in notebook.cells if cell.metadata] == []
    text = path.read_text()
    assert not re.search(r"/(tmp|home|work|root)/", text), "a folder of who made it"
    assert "Traceback" not in text


def test_there_are_two() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["hive", "verified"]
