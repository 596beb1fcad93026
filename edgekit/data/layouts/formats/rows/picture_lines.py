"""One line a picture: `x.jpg x1,y1,x2,y2,class x1,y1,x2,y2,class`, and names in `_classes.txt`.

Keras' and PyTorch's YOLO v3 and v4, as Roboflow exports it; a picture without objects stands alone on its line.
"""

from __future__ import annotations

import re
from pathlib import Path

from edgekit.data.layouts.files.entry import Entry, Format, Read, Shape, ordered
from edgekit.data.layouts.files.splits import names_file
from edgekit.data.names import plain
from edgekit.errors import DataError, LayoutError
from edgekit.reading import read_text
from edgekit.reading.limits import LIST, SETTINGS

_NUMBER = r"-?[\d.]+"
_ROW = re.compile(rf"(\S.*?\.\w{{2,5}})((?:\s+(?:{_NUMBER},){{4}}\d+)*)")
_BOXES = re.compile(rb"\.\w{2,5}(?:[ \t]+(?:-?[\d.]+,){4}\d+)+[ \t]*\r?$", re.MULTILINE)
_LISTS = ("_classes.txt", "classes.txt", "class_names.txt")


def _fits(file: Path, head: bytes) -> bool:
    return _BOXES.search(head) is not None


def _belongs(file: Path, head: bytes) -> bool:
    return file.name == "_annotations.txt"  # Roboflow's of a split without any object


def _read(file: Path, root: Path) -> Read:
    listed = names_file(file, root, _LISTS, ("*.names", "*classes*.txt"))
    if listed is None:
        raise LayoutError(
            f"{root} does not say what its classes are called.",
            got=f"{file.name} with class numbers, without a list of names",
            expected="a _classes.txt beside it, a name a line",
        )
    names = [plain(name) for name in read_text(listed, SETTINGS).splitlines() if name.strip()]
    entries = []
    for number, row in enumerate(read_text(file, LIST).splitlines(), 1):
        if not row.strip():
            continue
        match = _ROW.fullmatch(row.strip())
        if match is None:
            raise ValueError(f"line {number}: not PICTURE x1,y1,x2,y2,class")
        boxes = [box.split(",") for box in match[2].split()]
        if beyond := [box[4] for box in boxes if int(box[4]) >= len(names)]:
            raise DataError(
                f"{file} line {number} has a class that does not exist.",
                got=beyond[0],
                expected=f"0 to {len(names) - 1}",
            )
        where = f"line {number}"
        entries.append(Entry((match[1],), tuple(Shape(names[int(b[4])], ordered(*b[:4]), where) for b in boxes)))
    return Read(entries, tuple(names))


FORMAT = Format(
    "picture lines",
    frozenset({".txt"}),
    _fits,
    _read,
    "a line x.jpg x1,y1,x2,y2,class .. a picture",
    belongs=_belongs,
)
