"""VisDrone's texts of each picture: `left,top,width,height,score,class,truncation,occlusion`, classes by number.

Format: the readme of VisDrone-DET's toolkit (Zhu et al. 2021). Class 0 and score 0 are regions that nobody labelled.
"""

from __future__ import annotations

import re
from pathlib import Path

from edgekit.data.layouts.files.entry import NO_CLASS, Entry, Format, Read, Shape, corners
from edgekit.reading import read_text
from edgekit.reading.limits import LABELS

_ROWS = re.compile(rb"\A\s*(?:-?\d+,){4}[01],(?:\d|1[01]),-?[012],-?[012],?[ \t]*\r?$", re.MULTILINE)
NAMES = (
    "pedestrian",
    "people",
    "bicycle",
    "car",
    "van",
    "truck",
    "tricycle",
    "awning-tricycle",
    "bus",
    "motor",
    "others",
)


def _fits(file: Path, head: bytes) -> bool:
    return _ROWS.search(head) is not None


def _read(file: Path, root: Path) -> Read:
    shapes = []
    for number, row in enumerate(read_text(file, LABELS).splitlines(), 1):
        cells = [cell for cell in row.strip().split(",") if cell]
        if not cells:
            continue
        if len(cells) != 8:
            raise ValueError(f"line {number}: {len(cells)} cells, not 8")
        kind = int(cells[5])
        if not 0 <= kind <= len(NAMES):
            raise ValueError(f"line {number}: class {kind} is none of VisDrone's")
        aside = kind == 0 or cells[4] == "0"
        name = NAMES[kind - 1] if kind else NO_CLASS
        shapes.append(Shape(name, corners(*cells[:4]), f"line {number}", ignored=aside))
    return Read((Entry(("",), tuple(shapes)),), NAMES)


def _belongs(file: Path, head: bytes) -> bool:
    return not head.strip()


FORMAT = Format(
    "visdrone", frozenset({".txt"}), _fits, _read, "VisDrone's text of each picture", each=True, belongs=_belongs
)  # fmt: skip
