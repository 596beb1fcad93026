"""The scripts below benchmarks/ name only what edgekit has: they are not run daily, so a rename breaks them unseen."""

from __future__ import annotations

import ast
import importlib
from importlib.util import find_spec
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).parents[1] / "benchmarks").rglob("*.py"))
assert len(SCRIPTS) > 8


def missing(text: str) -> list[str]:
    """Names that `text` imports from edgekit and that are not there."""
    gone = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "edgekit":
            module = importlib.import_module(str(node.module))
            for name in (alias.name for alias in node.names):
                room = hasattr(module, "__path__")
                if not hasattr(module, name) and not (room and find_spec(f"{node.module}.{name}")):
                    gone.append(f"{node.module}.{name}")
    return gone


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_every_name_is_there(script: Path) -> None:
    assert missing(script.read_text()) == []


def test_a_name_that_is_gone_is_found() -> None:
    assert missing("from edgekit.spec import ModelSpec, Gone") == ["edgekit.spec.Gone"]
