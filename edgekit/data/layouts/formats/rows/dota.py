"""DOTA's texts of each picture: `x1 y1 x2 y2 x3 y3 x4 y4 class difficult`, behind two lines about the picture.

Format: captain-whu.github.io/DOTA/dataset.html (Xia et al. 2018). Turned boxes become the boxes around them.
"""

from __future__ import annotations

import re
from pathlib import Path

from edgekit.data.drawn_mask import Outline
from edgekit.data.layouts.files.entry import UNUSABLE, Entry, Format, Read, Shape, around
from edgekit.reading import read_text
from edgekit.reading.limits import LABELS

_NUMBER = rb"[-+]?(?:\d+\.?\d*|\.\d+)"
_ROW = re.compile(
    rb"^[ \t]*" + rb"[ \t]+".join([_NUMBER] * 8) + rb"[ \t]+[^\d\s]\S*[ \t]+[012][ \t]*\r?$", re.MULTILINE
)


def _fits(file: Path, head: bytes) -> bool:
    return _ROW.search(head) is not None


def _belongs(file: Path, head: bytes) -> bool:
    return not head.strip() or head.lstrip().startswith((b"imagesource", b"gsd"))


def _read(file: Path, root: Path) -> Read:
    shapes = []
    for number, row in enumerate(read_text(file, LABELS).splitlines(), 1):
        cells = row.split()
        if not cells or row.lstrip().startswith(("imagesource", "gsd")):
            continue
        if len(cells) not in (9, 10):
            raise ValueError(f"line {number}: {len(cells)} cells, not x y of four corners, a class and 0 or 1")
        points = list(zip(cells[:8:2], cells[1:8:2], strict=True))
        xyxy = around(points)  # type: ignore[arg-type]
        outline = None if xyxy is UNUSABLE else Outline((tuple(float(v) for v in cells[:8]),))
        ignored = cells[9:] == ["1"]
        shapes.append(Shape(cells[8], xyxy, f"line {number}", None, ignored, outline))
    return Read((Entry(("",), tuple(shapes)),))


FORMAT = Format("dota", frozenset({".txt"}), _fits, _read, "DOTA's text of each picture", each=True, belongs=_belongs)
