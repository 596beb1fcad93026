"""Every block of the documentation that a reader would run is run, or says why no test can.

`python -m pytest -s -m slow tests/docs/test_blocks_run.py` prints how many.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.docs import kitchen
from tests.docs.blocks import ALL, DOCUMENTS, HERE, Block, blocks_of
from tests.docs.running import run_block
from tests.test_python_walk import assert_alike

KINDS = {"sh", "console", "python"}


def test_every_block_is_run_or_says_why_not() -> None:
    assert sorted({f"{one.document}:{one.line} {one.kind}" for one in ALL if one.kind not in KINDS}) == []
    counts = Counter("here" if one in HERE else "elsewhere" if one.elsewhere else "not" for one in ALL)
    here, elsewhere, not_run = (counts[kind] for kind in ("here", "elsewhere", "not"))
    print(f"\n{len(ALL)} blocks: {here} run here, {elsewhere} by tests of their own, {not_run} not")
    for one in ALL:
        if one.why_not:
            print(f"  {one.document}:{one.line} not run: {one.why_not}")
            assert len(one.why_not) > 10, "a reason"
    assert counts["here"] > counts["not"]


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return kitchen.stocked(tmp_path_factory.mktemp("stock"))


@pytest.fixture
def folder(stock: Path, tmp_path: Path) -> Path:
    """A copy of it for each document: its blocks make files that later ones use."""
    shutil.copytree(stock, tmp_path / "work", symlinks=True)
    return tmp_path / "work"


@pytest.mark.slow
@pytest.mark.parametrize("document", sorted({one.document for one in HERE}))
def test_the_blocks_of_a_document_run_in_order(document: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kitchen.stock_for(document, folder)
    monkeypatch.setenv("HIVE_PASSWORD", "secret")
    names: dict[str, Any] = {}
    for block in blocks_of(Path(document)):
        if block not in HERE:
            continue
        if block.kind == "python":
            monkeypatch.chdir(folder)
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(block.text, f"{document}:{block.line}", "exec"), names)
            if block.printed:
                assert_alike(out.getvalue(), block.printed)
        else:
            run_block(block, folder)


def planted(text: str, kind: str = "console") -> Block:
    return Block("planted.md", 1, kind, text, "", "", 0)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("$ echo one\ntwo\n", "console"),
        ("$ echo one; echo two\ntwo\none\n", "console"),
        ("$ false\n$ echo $?\n0\n", "console"),
        ("$ echo 5\n6\n", "console"),
        ("$ exit 0\n$ echo one\none\n", "console"),
        ("false\ntrue\n", "sh"),
        ("no-such-command\n", "sh"),
        ("edgekit predict nowhere.onnx\n", "sh"),
    ],
)
def test_what_is_not_printed_or_fails_is_found(text: str, kind: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        run_block(planted(text, kind), tmp_path)


def test_what_is_shown_may_be_a_part_and_have_other_numbers(tmp_path: Path) -> None:
    shown = "$ echo one 5.1; echo two; echo three\none 5.2\nthree\n$ (exit 3)\n$ echo $?\n3\n"
    run_block(planted(shown), tmp_path)
    run_block(planted("sleep 0.1\ntrue\n", "sh"), tmp_path)


def test_the_documents_are_all_of_them() -> None:
    assert len(DOCUMENTS) > 40
    assert os.fspath(DOCUMENTS[0])
