"""WIDER FACE's list: the path of a picture, how many faces, and a row `x y w h blur .. invalid ..` for each.

Format: the readme of WIDER FACE's annotations (Yang et al. 2016). A picture without faces has a row of zeros.
"""

from __future__ import annotations

import re
from pathlib import Path

from edgekit.data.layouts.files.entry import Entry, Format, Read, Shape, corners
from edgekit.reading import read_text
from edgekit.reading.limits import LIST

_ROWS = re.compile(
    rb"\A\s*[^\n]+\.(?:jpe?g|png)[ \t]*\r?\n[ \t]*\d+[ \t]*\r?\n(?:[ \t]*-?\d+){4,10}[ \t]*\r?$", re.I | re.M
)
_INVALID = 7  # the cell that sets a face aside


def _fits(file: Path, head: bytes) -> bool:
    return _ROWS.search(head) is not None


def _read(file: Path, root: Path) -> Read:
    rows = iter(enumerate(read_text(file, LIST).splitlines(), 1))
    entries = []
    for number, name in rows:
        if not name.strip():
            continue
        try:
            count = int(next(rows)[1])
            given = [next(rows) for _ in range(max(1, count))]
            shapes = tuple(_shape(row.split(), at) for at, row in given[:count])
        except (StopIteration, ValueError) as error:
            raise ValueError(f"line {number}: what follows {name.strip()!r} is no count and as many rows") from error
        entries.append(Entry((name.strip(),), shapes))
    return Read(entries)


def _shape(cells: list[str], number: int) -> Shape:
    if len(cells) < 4:
        raise ValueError("fewer than four cells")
    aside = len(cells) > _INVALID and cells[_INVALID] == "1"
    return Shape("face", corners(*cells[:4]), f"line {number}", ignored=aside)


FORMAT = Format("wider", frozenset({".txt"}), _fits, _read, "WIDER FACE's list")
