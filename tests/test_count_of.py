"""A number and its word: one picture, two pictures; and nothing else in the package counts one of several."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from edgekit.screen import count_of, note_of

ROOT = Path(__file__).parents[1]
WORDS = "pictures|boxes|classes|frames|files|objects"
WORDS += "|tensors|keys|layers|events|visits|values|nodes|epochs|clips|cases|looks"


@pytest.mark.parametrize(
    ("n", "one", "told"),
    [
        (0, "picture", "0 pictures"),
        (1, "picture", "1 picture"),
        (2, "picture", "2 pictures"),
        (1, "box", "1 box"),
        (3, "box", "3 boxes"),
        (2, "class", "2 classes"),
        (2, "match", "2 matches"),
        (2, "epoch", "2 epochs"),
    ],
)
def test_it_agrees(n: int, one: str, told: str) -> None:
    assert count_of(n, one) == told


@pytest.mark.parametrize(
    ("n", "what", "told"),
    [
        (1, "{box} written twice", "1 box written twice"),
        (2, "{box} written twice", "2 boxes written twice"),
        (2, "{label file} that cannot be read", "2 label files that cannot be read"),
        (2, "unreadable", "2 unreadable"),
    ],
)
def test_a_note_counts_the_word_in_braces(n: int, what: str, told: str) -> None:
    assert note_of(n, what) == told


def test_no_text_leaves_open_whether_it_is_one() -> None:
    """No `picture(s)` in what is told, that is in a string that is no docstring."""
    found = []
    for file in (ROOT / "edgekit").rglob("*.py"):
        tree = ast.parse(file.read_text())
        texts = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
        said = [node for node in texts if re.search(r"(?:^|[a-z])\((?:s|es|ies)\)(?![?*+|])", node.value)]
        found += [f"{file.relative_to(ROOT)}:{node.lineno}: {node.value}" for node in said]
    assert found == []


def test_no_message_ends_in_a_count_of_its_own() -> None:
    """`{len(found)} pictures"` at the end of what is told, or before a sign: there a verb cannot need another form."""
    own = re.compile(r"(?<!of )\{len\([\w.]+\)\} (" + WORDS + r')(?=["),;:])')
    found = [
        f"{file.relative_to(ROOT)}: {match[0]}"
        for file in (ROOT / "edgekit").rglob("*.py")
        for match in own.finditer(file.read_text())
    ]
    assert found == []
