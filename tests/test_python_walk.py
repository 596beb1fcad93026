"""docs/python.md runs: its blocks one after the other, each printing what stands under it."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

from edgekit.data import hive_pictures
from edgekit.vision.image import encode_picture

WALK = Path(__file__).parents[1] / "docs" / "python.md"
BLOCK = re.compile(r"^```python ?(\w*)\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"\d+(?:\.\d+)?")
# another release of a runtime rounds otherwise: this far apart numbers are the same answer
NEAR = 0.02


def blocks(kind: str) -> list[tuple[str, str]]:
    """(code, what it prints) of the blocks of one kind, in order."""
    return [(code, printed or "") for name, code, printed in BLOCK.findall(WALK.read_text()) if name == kind]


def run(code: str, names: dict[str, Any]) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, str(WALK), "exec"), names)
    return out.getvalue()


def assert_alike(printed: str, wanted: str) -> None:
    """The same words, and numbers that are nearly the same."""
    assert NUMBER.sub("#", printed) == NUMBER.sub("#", wanted), f"printed:\n{printed}"
    for got, want in zip(NUMBER.findall(printed), NUMBER.findall(wanted), strict=True):
        assert float(got) == pytest.approx(float(want), rel=NEAR, abs=NEAR), f"printed:\n{printed}"


def test_each_block_prints_what_stands_under_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    found = blocks("")
    assert len(found) >= 7
    for code, wanted in found:
        assert_alike(run(code, names), wanted)
    assert (tmp_path / "marked.jpg").stat().st_size > 1000


def test_the_readme_s_lines_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (sample,) = hive_pictures(1, seed=9).samples
    Path("hive.jpg").write_bytes(encode_picture(sample.read(), ".jpg"))
    names: dict[str, Any] = {}
    for _, code, _ in BLOCK.findall((WALK.parents[1] / "README.md").read_text()):
        assert re.match(r"(bee|hornet) 0\.\d+ \(", run(code, names))
    assert names["marked"].shape == names["frame"].shape


@pytest.mark.slow
def test_training_and_export_print_what_stands_under_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ((code, wanted),) = blocks("train")
    assert_alike(run("import edgekit\n" + code, {}), wanted)


def test_the_comparison_can_fail() -> None:
    assert_alike("bee 0.60 [100 30]\n", "bee 0.61 [101 30]\n")
    for other in ("bee 0.70 [100 30]\n", "wasp 0.60 [100 30]\n", "bee 0.60 [100 30 5]\n", ""):
        with pytest.raises(AssertionError):
            assert_alike(other, "bee 0.61 [101 30]\n")
