"""BBox-Label-Tool's text of each picture: how many boxes there are, then `x1 y1 x2 y2` of each, perhaps with a class.

Format: github.com/puzzledqs/BBox-Label-Tool, and its many forks for several classes.
"""

from __future__ import annotations

import re
from pathlib import Path

from edgekit.data.layouts.files.entry import Entry, Format, Read, Shape, ordered
from edgekit.reading import read_text
from edgekit.reading.limits import LABELS

_NUMBER = r"-?\d+(?:\.\d+)?"
_ROW = re.compile(rf"({_NUMBER}(?:[ \t]+{_NUMBER}){{3}})(?:[ \t]+(\S.*))?")
_HEAD = re.compile(rb"\A\s*\d+[ \t]*\r?\n" + rf"\s*{_NUMBER}(?:[ \t]+{_NUMBER}){{3}}(?:[ \t]|\r?\n|\Z)".encode())
_ONE = "object"  # what objects are where nobody named them


def _fits(file: Path, head: bytes) -> bool:
    return _HEAD.match(head) is not None


def _belongs(file: Path, head: bytes) -> bool:
    return head.strip() in (b"", b"0")


def _read(file: Path, root: Path) -> Read:
    lines = [line.strip() for line in read_text(file, LABELS).splitlines()]
    rows = [(number, line) for number, line in enumerate(lines, 1) if line]
    if not rows:
        return Read((Entry(("",)),))
    if not rows[0][1].isdecimal() or int(rows[0][1]) != len(rows) - 1:
        raise ValueError(f"its first line is {rows[0][1][:20]}, and it has {len(rows) - 1} boxes")
    shapes = []
    for number, line in rows[1:]:
        match = _ROW.fullmatch(line[:1024])
        if match is None:
            raise ValueError(f"line {number}: not x1 y1 x2 y2 CLASS")
        shapes.append(Shape(match[2] or _ONE, ordered(*match[1].split()), f"line {number}"))
    return Read((Entry(("",), tuple(shapes)),))


FORMAT = Format(
    "bbox label tool",
    frozenset({".txt"}),
    _fits,
    _read,
    "BBox-Label-Tool's count and rows x1 y1 x2 y2",
    each=True,
    belongs=_belongs,
)
