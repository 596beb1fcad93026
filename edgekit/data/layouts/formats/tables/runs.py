"""Kaggle's tables of masks, a row an object: a picture, a class, and runs of pixels (`EncodedPixels`).

`1 3 10 5` are pixels 1 to 3 and 10 to 14, counted from 1 down the columns. A row without runs, or with -1, has no
object.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from edgekit.data.drawn_mask import Outline, box_of_pixels
from edgekit.data.layouts.files.entry import UNUSABLE, Entry, Format, Read, Shape
from edgekit.data.layouts.files.pictures import Pictures
from edgekit.data.names import plain
from edgekit.data.orientation import picture_size
from edgekit.reading import read_text
from edgekit.reading.limits import LIST
from edgekit.vision.find import scan
from edgekit.vision.image import picture_problem

_FILE = ("imageid", "image", "filename", "file", "img", "imgid", "id")
_BOTH = ("imagelabel", "imageidclassid", "imageclass")  # `a.jpg_fish`: picture and class in one cell
_CLASS = ("classid", "class", "label", "classname", "category", "celltype")
_RUNS = ("encodedpixels", "rle", "rlemask", "annotation", "mask", "segmentation")
_NONE = frozenset({"", "-1", "nan", "none", "null"})
_ONE = "object"
_MOST = 64 << 20  # pixels of a picture


def _columns(header: list[str]) -> dict[str, int] | None:
    cells = [plain(cell).casefold().replace("_", "").replace(" ", "") for cell in header]
    found = {what: next((cells.index(name) for name in names if name in cells), None)
             for what, names in {"file": _FILE, "both": _BOTH, "class": _CLASS, "runs": _RUNS}.items()}  # fmt: skip
    if found["runs"] is None or (found["file"] is None and found["both"] is None):
        return None
    return {what: at for what, at in found.items() if at is not None}


def _are_runs(text: str) -> bool:
    cells = text.split()
    return text.strip().casefold() in _NONE or (len(cells) % 2 == 0 and all(cell.isdecimal() for cell in cells))


def _fits(file: Path, head: bytes) -> bool:
    lines = head[:65536].decode("utf-8", "replace").splitlines()
    rows = list(csv.reader(lines[: 20 if len(lines) > 20 or len(head) < 65536 else -1]))  # the last may be cut off
    columns = _columns(rows[0]) if rows else None
    if columns is None:
        return False
    cells = [row[columns["runs"]] for row in rows[1:] if columns["runs"] < len(row)]
    return any(len(cell.split()) > 1 for cell in cells) and all(map(_are_runs, cells))


def _read(file: Path, root: Path) -> Read:
    rows = list(csv.reader(io.StringIO(read_text(file, LIST), newline="")))
    columns = _columns(rows[0])
    assert columns is not None
    pictures = Pictures(root, scan(root).pictures)
    shapes: dict[str, list[Shape]] = {}
    sizes: dict[str, tuple[int, int] | None] = {}
    for number, row in enumerate(rows[1:], 2):
        if not any(cell.strip() for cell in row):
            continue
        cells = {what: row[at].strip() if at < len(row) else "" for what, at in columns.items()}
        name, label = cells.get("file", ""), cells.get("class", "")
        if "both" in cells and not name:
            name, _, label = cells["both"].rpartition("_")
        if not name:
            raise ValueError(f"line {number} names no picture")
        mine = shapes.setdefault(name, [])
        if cells["runs"].casefold() in _NONE:
            continue
        if name not in sizes:
            found = pictures.find((name,), file)
            known = picture_size(found) if isinstance(found, Path) and not picture_problem(found) else None
            sizes[name] = (known.height, known.width) if known is not None else None
        mine.append(_shape(plain(label) or _ONE, cells["runs"], sizes[name], f"line {number}"))
    entries = []
    for name, objects in shapes.items():
        size = sizes.get(name)
        entries.append(Entry((name,), tuple(objects), (float(size[1]), float(size[0])) if size else None))
    return Read(entries)


def _shape(name: str, text: str, size: tuple[int, int] | None, where: str) -> Shape:
    """The object of one cell; `size`: height and width of its picture, None where there is no such picture."""
    if size is None or size[0] * size[1] > _MOST or not _are_runs(text):
        return Shape(name, UNUSABLE, where)
    if max(map(len, text.split())) > 12:
        return Shape(name, UNUSABLE, where)
    numbers = np.array(text.split(), np.int64).reshape(-1, 2)
    first, last = numbers[:, 0] - 1, numbers.sum(axis=1) - 1
    if first.min() < 0 or numbers[:, 1].min() < 1 or last.max() > size[0] * size[1]:
        return Shape(name, UNUSABLE, where)
    flat = np.zeros(size[0] * size[1], np.bool_)
    for start, end in zip(first, last, strict=True):
        flat[start:end] = True
    mask = flat.reshape(size[1], size[0]).T
    return Shape(
        name,
        box_of_pixels(mask) or UNUSABLE,
        where,
        float(mask.sum()),
        False,
        Outline.of_mask(mask),
        "{mask}, taken as the box around",
    )


FORMAT = Format("runs", frozenset({".csv"}), _fits, _read, "a table of runs of pixels (Kaggle's EncodedPixels)")
