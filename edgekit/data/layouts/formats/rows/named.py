"""Texts of each picture with rows `CLASS x1 y1 x2 y2` in pixels: OIDv4's downloader, Cartucho's mAP.

Format: the readmes of EscVM/OIDv4_ToolKit and Cartucho/mAP, whose rows may end with `difficult`.
"""

from __future__ import annotations

import re
from pathlib import Path

from edgekit.data.layouts.files.entry import Entry, Format, Read, Shape, ordered
from edgekit.reading import read_text
from edgekit.reading.limits import LABELS

_ROW = re.compile(r"([^\d\s.,:;][^.,:;/]*?)((?:\s+[-+]?(?:\d+\.?\d*|\.\d+)){4})(\s+difficult)?")


def _fits(file: Path, head: bytes) -> bool:
    first = head.strip()[:4096].decode("utf-8", "replace").splitlines()[:1]
    return bool(first) and _ROW.fullmatch(first[0].strip()) is not None


def _belongs(file: Path, head: bytes) -> bool:
    return not head.strip()


def _read(file: Path, root: Path) -> Read:
    shapes = []
    for number, row in enumerate(read_text(file, LABELS).splitlines(), 1):
        if not row.strip():
            continue
        match = _ROW.fullmatch(row.strip()[:1024])
        if match is None:
            raise ValueError(f"line {number}: not CLASS x1 y1 x2 y2")
        xyxy = ordered(*match[2].split())
        shapes.append(Shape(match[1], xyxy, f"line {number}", ignored=match[3] is not None))
    if shapes and max(max(shape.xyxy) for shape in shapes) <= 1:
        raise ValueError("numbers from 0 to 1 behind a class name: corners or a centre, which nothing says")
    return Read((Entry(("",), tuple(shapes)),))


FORMAT = Format("named", frozenset({".txt"}), _fits, _read, "rows CLASS x1 y1 x2 y2", each=True, belongs=_belongs)
