"""KITTI's texts of each picture: `Car 0.00 0 -1.57 x1 y1 x2 y2 ..`, 15 cells or 16 with a score.

Format: the readme of KITTI's object development kit (Geiger et al. 2012).
"""

from __future__ import annotations

import re
from pathlib import Path

from edgekit.data.layouts.files.entry import NO_CLASS, Entry, Format, Read, Shape, ordered
from edgekit.reading import read_text
from edgekit.reading.limits import LABELS

_NUMBER = rb"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_ROW = re.compile(rb"\A\s*[A-Za-z][\w-]*(?:[ \t]+" + _NUMBER + rb"){14,15}[ \t]*\r?$", re.MULTILINE)
_ASIDE = "dontcare"  # regions that nobody labelled


def _fits(file: Path, head: bytes) -> bool:
    return _ROW.search(head) is not None


def _read(file: Path, root: Path) -> Read:
    shapes = []
    for number, row in enumerate(read_text(file, LABELS).splitlines(), 1):
        cells = row.split()
        if not cells:
            continue
        if len(cells) not in (15, 16):
            raise ValueError(f"line {number}: {len(cells)} cells, not 15")
        where = f"line {number}"
        aside = cells[0].casefold() == _ASIDE
        shapes.append(Shape(NO_CLASS if aside else cells[0], ordered(*cells[4:8]), where, ignored=aside))
    return Read((Entry(("",), tuple(shapes)),))


def _belongs(file: Path, head: bytes) -> bool:
    return not head.strip()


FORMAT = Format(
    "kitti", frozenset({".txt"}), _fits, _read, "KITTI's text of each picture", each=True, belongs=_belongs
)  # fmt: skip
