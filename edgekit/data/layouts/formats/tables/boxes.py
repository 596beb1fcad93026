"""Tables of boxes, a row each: TensorFlow's and Roboflow's, Kaggle's, Keras-RetinaNet's, Open Images', VIA's, VoTT's.

`columns.py` says which column is which. Numbers that are all between 0 and 1 are parts of the picture.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.data.layouts.files.corners import CENTRES, CORNERS, EITHER, about, meant
from edgekit.data.layouts.files.entry import UNUSABLE, Corners, Entry, Format, Read, Shape, corners, ordered
from edgekit.data.layouts.files.pictures import Pictures
from edgekit.data.layouts.formats.rows.yolo import class_names, names_of
from edgekit.data.layouts.formats.tables.columns import Row, by_content, by_header, with_names
from edgekit.data.layouts.formats.via import class_key, via_shape
from edgekit.data.names import plain, split_of
from edgekit.data.orientation import picture_size
from edgekit.errors import DataError
from edgekit.reading import in_utf8, read_text
from edgekit.reading.limits import LIST
from edgekit.vision.find import scan
from edgekit.vision.image import picture_problem

# of four numbers in one cell, by how they are meant
_NOTES = {
    CORNERS: "{box} of four numbers in one cell read as x1 y1 x2 y2: as x y width height most would leave the picture",
    EITHER: "{box} of four numbers in one cell read as x y width height, as x1 y1 x2 y2 all fit too: look at some",
}
_NOTES |= {
    f"x y: {CENTRES}": "{box} read with x and y as its centre: as its left upper corner some would leave the picture",
    f"x y: {EITHER}": "{box} read with x and y as its left upper corner, as its centre all fit too: look at some",
}
_LOOKED_AT = 200  # pictures whose size says how boxes are meant
_ONE = "object"  # what objects are in a table without a column of classes
_CODES = re.compile(r"/[mgtj]/\w+")  # Open Images' and AudioSet's names of classes
_DECIMAL = re.compile(r"^(\s*-?\d+),(\d+\s*)$")  # as spreadsheets write it where they part cells by semicolons
_NONE = frozenset({"", "nan", "none", "null", "[]", "no_box", "no box"})


@dataclass(frozen=True)
class _Table:
    columns: dict[str, int]
    rows: tuple[Row, ...]
    lines: tuple[int, ...]

    def cell(self, row: Row, column: str) -> str:
        at = self.columns.get(column)
        return row[at].strip() if at is not None and at < len(row) else ""


def _fits(file: Path, head: bytes) -> bool:
    text = head[:16384].decode("utf-8", "replace")
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines or _CODES.match(lines[0]):
        return False
    rows = list(_rows("\n".join(lines[:50]), _comma(lines[0])))
    return by_header(rows[0]) is not None or by_content(rows) is not None


def is_table_of_boxes(file: Path) -> bool:
    """Whether a table is one of boxes. False for what cannot be read."""
    try:
        with file.open("rb") as stream:
            return _fits(file, in_utf8(stream.read(16384), part=True))
    except OSError:
        return False


def _comma(line: str) -> str:
    return max((",", ";", "\t"), key=line.count)


def _rows(text: str, comma: str) -> Iterator[list[str]]:
    return csv.reader(io.StringIO(text, newline=""), delimiter=comma)


def _read(file: Path, root: Path) -> Read:
    table = _table(file)
    shapes: dict[str, list[Shape]] = {}
    splits: dict[str, str] = {}
    sizes: dict[str, tuple[float, float]] = {}
    codes = _names(table, file, root)
    parts, how = _units(table, file, root)
    key = class_key(_json(table.cell(row, "attributes")) for row in table.rows) if "attributes" in table.columns else ""
    for row, line in zip(table.rows, table.lines, strict=True):
        name = table.cell(row, "file")
        if not name:
            raise DataError(
                f"{file} line {line} names no picture.", got=",".join(row)[:80], expected="a picture's file"
            )
        mine = shapes.setdefault(name, [])
        if split := split_of(table.cell(row, "split")):
            splits[name] = split
        if (size := _size(table, row)) is not None:
            sizes[name] = size
        if (shape := _shape(table, row, f"line {line}", how, key)) is None:
            continue
        label = codes.get(table.cell(row, "label"), table.cell(row, "label")) if not key else shape.name
        if "label" in table.columns and not label:
            raise DataError(f"{file} line {line} names no class.", got=",".join(row)[:80], expected="a class")
        group = table.cell(row, "group").casefold() in ("1", "true")
        mine.append(Shape(plain(label) or _ONE, shape.xyxy, shape.where, None, group, shape.outline, shape.note))
    return Read(
        [Entry((n,), tuple(s), sizes.get(n), splits.get(n, ""), parts) for n, s in shapes.items()]
    )  # fmt: skip


def _table(file: Path) -> _Table:
    text = read_text(file, LIST)
    comma = _comma(text[:65536].splitlines()[0])
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=comma)
    rows, lines = [], []
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append([_DECIMAL.sub(r"\1.\2", cell) for cell in cells] if comma == ";" else cells)
                lines.append(reader.line_num)
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}") from error
    columns = by_header(rows[0])
    if columns is not None:
        return _Table(with_names(columns, rows[0], rows[1:]), tuple(rows[1:]), tuple(lines[1:]))
    return _Table(by_content(rows[:50]) or {}, tuple(rows), tuple(lines))


def _units(table: _Table, file: Path, root: Path) -> tuple[bool, str]:
    """Whether the boxes are parts of the picture, and how four numbers are meant (`corners.meant`, `corners.about`)."""
    found = [(row, values) for row in table.rows if (values := _numbers(table, row)) is not None]
    numbers = [v for _, values in found for v in values]
    parts = 0 < max(numbers, default=0) <= 1.01 and not all(v.is_integer() for v in numbers)
    plain = {"x", "y", "w", "h"} <= set(table.columns) and not {"x1", "y1"} <= set(table.columns)
    if "box" not in table.columns and not plain:
        return parts, ""
    boxes = [values for _, values in found]
    sizes = [(1.0, 1.0) for _ in found] if parts else _sizes(table, [row for row, _ in found], file, root)
    if "box" in table.columns:
        return parts, meant(boxes, sizes)
    how = about(boxes, sizes)
    return parts, "" if how == EITHER and not parts else how and f"x y: {how}"


def _sizes(table: _Table, rows: Sequence[Row], file: Path, root: Path) -> list[tuple[float, float] | None]:
    """Each row's picture's size, as stated, else as found in `_LOOKED_AT` pictures, spread evenly."""
    stated = [_size(table, row) for row in rows]
    missing = list(dict.fromkeys(table.cell(row, "file") for row, size in zip(rows, stated, strict=True) if not size))
    known: dict[str, tuple[float, float]] = {}
    pictures = Pictures(root, scan(root).pictures if missing else ())
    for name in missing[:: max(1, len(missing) // _LOOKED_AT)]:
        picture = pictures.find((name,), file)
        if isinstance(picture, Path) and not picture_problem(picture):
            size = picture_size(picture)
            known[name] = float(size.width), float(size.height)
    return [size or known.get(table.cell(row, "file")) for row, size in zip(rows, stated, strict=True)]


def _numbers(table: _Table, row: Row) -> tuple[float, float, float, float] | None:
    """The four numbers of a row's box as they stand; None where it has none or they are no numbers."""
    if "box" in table.columns:
        cells = re.split(r"[,;\s]+", table.cell(row, "box").strip("[](){}\"' "))
    else:
        kinds = (("x1", "y1", "x2", "y2"), ("x1", "y1", "w", "h"), ("x", "y", "w", "h"), ("cx", "cy", "w", "h"))
        names = next((k for k in kinds if set(k) <= set(table.columns)), ())
        cells = [table.cell(row, name) for name in names]
    try:
        values = [float(cell) for cell in cells]
    except ValueError:
        return None
    if len(values) != 4 or not all(map(math.isfinite, values)):
        return None
    return values[0], values[1], values[2], values[3]


def _shape(table: _Table, row: Row, where: str, how: str, key: str) -> Shape | None:
    """A row's box; None for a picture that has none."""
    if "shape" in table.columns:
        given = _json(table.cell(row, "shape"))
        value = _json(table.cell(row, "attributes")).get(key, _ONE)
        name = next((n for n, on in value.items() if on), "") if isinstance(value, dict) else str(value).strip()
        return via_shape(given, name, where) if given else None
    names = ("box",) if "box" in table.columns else ("x1", "y1", "x2", "y2", "x", "y", "cx", "cy", "w", "h")
    if all(table.cell(row, name).casefold() in _NONE for name in names):
        return None
    values = _numbers(table, row)
    if values is None:
        return Shape(_ONE, UNUSABLE, where)
    return Shape(_ONE, _corners(table.columns, values, how), where, note=_NOTES.get(how, ""))


def _corners(columns: dict[str, int], values: tuple[float, float, float, float], how: str) -> Corners:
    a, b, c, d = values
    if how == f"x y: {CENTRES}":
        return corners(a - c / 2, b - d / 2, c, d)
    if ("box" in columns and how == CORNERS) or ("box" not in columns and {"x1", "y1", "x2", "y2"} <= set(columns)):
        return ordered(a, b, c, d)
    if "box" not in columns and not {"x1", "y1"} <= set(columns) and not {"x", "y"} <= set(columns):
        return corners(a - c / 2, b - d / 2, c, d)
    return corners(a, b, c, d)


def _size(table: _Table, row: Row) -> tuple[float, float] | None:
    try:
        size = float(table.cell(row, "width")), float(table.cell(row, "height"))
    except ValueError:
        return None
    return size if min(size) > 0 else None


def _json(text: str) -> dict[str, object]:
    try:
        value = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _names(table: _Table, file: Path, root: Path) -> dict[str, str]:
    """What the classes of the table are called elsewhere; {} where its own names are all there is.

    Numbers that count from 0 get the names of a list such as classes.txt; where none is 0 they may count from 1.
    """
    labels = {label for row in table.rows if (label := table.cell(row, "label"))}
    if any(_CODES.fullmatch(label) for label in labels):
        return _codes(root)
    if "0" not in labels or not all(label.isdecimal() for label in labels) or names_of(file, root) is None:
        return {}
    names, _ = class_names(file, root)
    listed = {str(i): name for i, name in enumerate(names)}
    return listed if labels <= set(listed) else {}


def _codes(root: Path) -> dict[str, str]:
    """What Open Images calls its classes, by `class-descriptions-boxable.csv`, or FiftyOne's `classes.csv`."""
    found: dict[str, str] = {}
    for file in sorted({*root.rglob("*class-descriptions*.csv"), *root.rglob("classes.csv")}):
        rows: Sequence[Row] = list(_rows(read_text(file, LIST), ","))
        found |= {row[0]: row[1].strip() for row in rows if len(row) > 1 and _CODES.fullmatch(row[0])}
    return found


FORMAT = Format("table", frozenset({".csv", ".tsv"}), _fits, _read, "a table of boxes")
