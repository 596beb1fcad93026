"""Rows by the number of a frame: MOT's `frame,id,x,y,w,h,..`, DarkLabel's `frame,n,[id,x1,y1,x2,y2,class]`.

Format: motchallenge.net/instructions (Dendorfer et al. 2020); DarkLabel's darklabel.yml. In the first a class is a name
at the end, as DarkLabel adds it, else the number in the eighth cell; without a name only a gt.txt or det.txt is one.
"""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

from edgekit.data.layouts.files.entry import Entry, Format, Read, Shape, corners, ordered
from edgekit.reading import read_text
from edgekit.reading.limits import LIST
from edgekit.screen import count_of

_CELL = rb"[ \t]*[-+]?\d+(?:\.\d+)?[ \t]*"
_MOT = re.compile(
    rb"\A\s*\d+(?:\.0+)?," + rb",".join([_CELL] * 8) + rb"(?:,[^,\n]*)?(?:,[ \t]*[A-Za-z][^,\n]*)?\r?$", re.MULTILINE
)
_GROUPS = re.compile(
    rb"\A\s*\d+[ \t]*,[ \t]*\d+[ \t]*,(?:" + rb",".join([_CELL] * 5) + rb",[ \t]*[A-Za-z][^,\n]*,?)+\s*?$", re.MULTILINE
)


def _fits(file: Path, head: bytes) -> bool:
    if _GROUPS.search(head) is not None:
        return True
    found = _MOT.search(head)
    named = found is not None and re.search(rb",[ \t]*[A-Za-z][^,\n]*$", found.group()) is not None
    return found is not None and (named or file.stem.casefold() in ("gt", "det"))


def _read(file: Path, root: Path) -> Read:
    text = read_text(file, LIST)
    grouped = _GROUPS.search(text[:65536].encode()) is not None
    found: dict[int, list[Shape]] = {}
    for number, row in enumerate(csv.reader(io.StringIO(text, newline="")), 1):
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        try:
            mine = found.setdefault(int(float(cells[0])), [])
            mine += _grouped(cells, number) if grouped else _one(cells, number)
        except (ValueError, IndexError) as error:
            raise ValueError(f"line {number}: {error}") from error
    return Read([Entry((f"#{frame}",), tuple(shapes)) for frame, shapes in sorted(found.items())])


def _grouped(cells: list[str], number: int) -> list[Shape]:
    count = int(cells[1])
    groups = [cells[2 + 6 * i : 8 + 6 * i] for i in range(count)]
    if groups and len(groups[-1]) != 6:
        raise ValueError(f"{count_of(count, 'object')} said, and fewer there")
    return [Shape(name, ordered(*box), f"line {number}") for _, *box, name in groups]


def _one(cells: list[str], number: int) -> list[Shape]:
    name = cells[-1] if re.match(r"[A-Za-z]", cells[-1]) else f"class {cells[7]}" if cells[7] != "-1" else "object"
    return [Shape(name, corners(*cells[2:6]), f"line {number}", ignored=float(cells[6]) == 0)]


FORMAT = Format("frames", frozenset({".txt", ".csv"}), _fits, _read, "rows by the number of a frame (MOT, DarkLabel)")
