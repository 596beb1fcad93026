"""A table of pictures with any number of labels: `file,labels` with `bee;hornet`, or a column of 0 and 1 a class.

The second is what Kaggle's competitions and Roboflow's `_classes.csv` use. An empty cell of labels means that the
picture shows none of them; an empty one, or -1, in a class's column that nobody knows (as in CheXpert, Irvin et al.
2019).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.data.classes.class_map import proposal
from edgekit.data.names import alike, existing, plain, written_differently
from edgekit.data.pictures import left_out, readable
from edgekit.data.sample import Dataset, Sample, class_index
from edgekit.errors import DataError
from edgekit.reading import is_file, read_text
from edgekit.reading.limits import LIST
from edgekit.screen import count_of, some
from edgekit.vision.clutter import clutter_note
from edgekit.vision.find import scan

FILES = ("file", "filename", "file_name", "image", "image_name", "path")
_LISTS = ("labels", "tags", "class")  # of these columns the first holds a list of labels
_BETWEEN = re.compile(r"[;|,]")
_VALUES = {"1": 1, "1.0": 1, "0": 0, "0.0": 0, "": -1, "-1": -1, "-1.0": -1}


@dataclass(frozen=True)
class Table:
    """A table as it stands: the names in its header, its rows, and the line of each."""

    path: Path
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]

    def column(self, *names: str) -> int | None:
        """Where the first of `names` that the header has is."""
        lower = [name.casefold() for name in self.header]
        return next((lower.index(name) for name in names if name in lower), None)


def read_table(path: Path) -> Table:
    """The table. Raises DataError for what is none."""
    rows, lines = [], []
    try:
        with io.StringIO(read_text(path, LIST), newline="") as stream:
            reader = csv.reader(stream)
            header = tuple(cell.strip() for cell in next(reader, []))
            for cells in reader:
                if any(cell.strip() for cell in cells):  # a blank line lists no picture
                    rows.append(tuple(cell.strip() for cell in cells))
                    lines.append(reader.line_num)
    except (OSError, ValueError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as a table.", got=str(error), expected="a UTF-8 CSV file") from error
    return Table(path, header, tuple(rows), tuple(lines))


def has_labels(table: Table, classes: Sequence[str] | None) -> bool:
    """Whether it gives pictures lists of labels, or a column of 0 and 1 for each class; else it has one class each."""
    if table.column(*FILES) is None or table.column("class_index") is not None:
        return False
    if table.column("labels", "tags") is not None:
        return True
    at = table.column("class")
    if at is None:
        return bool(_flags(table))
    names = {plain(name).casefold() for name in classes or ()}
    return any(len(row) > at and ";" in row[at] and plain(row[at]).casefold() not in names for row in table.rows)


def load_labels(table: Table, classes: Sequence[str] | None = None) -> Dataset:
    """The pictures that the table lists, in its order, with all labels of each.

    Args:
        classes: the model's. Without them the classes are the columns, or the labels, sorted.

    Raises:
        DataError: no rows, missing files (the first five are named), a label that is not one of `classes`, a class
            without a column, a cell of another value, or one picture with two sets of labels.
    """
    path, at = table.path, table.column(*FILES)
    assert at is not None
    if not table.rows:
        raise DataError(f"{path} lists no pictures.", got="a header and nothing below", expected="one row a picture")
    for row, line in zip(table.rows, table.lines, strict=True):
        if len(row) <= at or not row[at]:
            raise _bad(path, line, ",".join(row), "a picture's file")
    list_at = table.column(*_LISTS)
    names, told = _by_list(table, list_at, classes) if list_at is not None else _by_columns(table, classes)
    labels: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {}
    for row, line, known in zip(table.rows, table.lines, told, strict=True):
        if labels.setdefault(row[at], known) != known:
            raise DataError(
                f"{path} gives one picture two sets of labels.",
                got=f"{row[at]} (line {line})",
                expected="one row a picture, with all its labels",
                fix="bee;hornet in one cell",
            )
    files = {name: existing(path.parent / name) for name in labels}
    missing = [name for name in files if not is_file(files[name])]
    if missing:
        raise DataError(
            f"{path} lists files that are not there.",
            got=f"{len(missing)} missing: {some(missing)}",
            expected=f"paths relative to {path.parent}",
        )
    samples, notes = readable(
        Sample(files[name], None, None, name, labels=there, unknown_labels=unknown)
        for name, (there, unknown) in labels.items()
    )
    if len(labels) < len(table.rows):
        doubled = len(table.rows) - len(labels)
        notes += (f"{count_of(doubled, 'row')} of a picture that is listed before; each picture is taken once",)
    if list_at is None:
        notes += _unused(table, names)
    elif classes is None:
        notes += alike(names)
    listed = {files[name].resolve() for name in labels}
    scanned = scan(path.parent)
    notes += clutter_note(scanned.clutter, path.parent)
    notes += left_out([p for p in scanned.pictures if p.resolve() not in listed], path.parent,
                      f"not listed in {path.name}")  # fmt: skip
    return Dataset(samples, names, "csv with labels", notes)


Known = tuple[tuple[int, ...], tuple[int, ...]]  # the labels that are there, and those nobody knows of


def _by_list(table: Table, at: int, classes: Sequence[str] | None) -> tuple[tuple[str, ...], list[Known]]:
    """Class names, and of each row its labels: one cell of names."""
    cells = [row[at] if len(row) > at else "" for row in table.rows]
    parts = [[plain(part) for part in _BETWEEN.split(cell) if part.strip()] for cell in cells]
    spaced = not any(_BETWEEN.search(cell) for cell in cells) and any(" " in cell for cell in cells)
    if spaced and (classes is None or any(class_index(p, classes) is None for row in parts for p in row)):
        parts = [cell.split() for cell in cells]  # Kaggle's `haze primary`; with a list of names, one of two words
    names = tuple(classes) if classes is not None else tuple(sorted({part for row in parts for part in row}))
    if not names:
        raise DataError(f"{table.path} has no labels.", got="empty cells alone", expected="labels such as bee;hornet")
    told: list[Known] = []
    for row, line in zip(parts, table.lines, strict=True):
        there = set()
        for part in row:
            index = class_index(part, names)
            if index is None:
                odd = dict.fromkeys(p for other in parts for p in other if class_index(p, names) is None)
                raise _bad(table.path, line, part, "some of " + some(names, 10), proposal(list(odd), names))
            there.add(index)
        told.append((tuple(sorted(there)), ()))
    return names, told


def _by_columns(table: Table, classes: Sequence[str] | None) -> tuple[tuple[str, ...], list[Known]]:
    """Class names, and of each row its labels: a column of 0 and 1 for each class."""
    flags = _flags(table)
    if classes is None:
        names, places = tuple(plain(table.header[at]) for at in flags), flags
    else:
        names = tuple(classes)
        found = {class_index(name, names): at for at, name in enumerate(table.header)}
        lacking = [name for i, name in enumerate(names) if i not in found]
        odd = [table.header[at] for at in flags if class_index(table.header[at], names) is None]
        if lacking:
            raise DataError(
                f"{table.path} has no column for some of the model's classes.",
                got=f"{len(lacking)} without: {some(lacking)}",
                expected="a column of 0 and 1 for each class, or one called labels with bee;hornet",
                fix=proposal(odd, names) if odd else None,
            )
        places = [found[i] for i in range(len(names))]
    told: list[Known] = []
    for row, line in zip(table.rows, table.lines, strict=True):
        values = []
        for name, at in zip(names, places, strict=True):
            value = _VALUES.get(row[at] if len(row) > at else "")
            if value is None:
                raise _bad(table.path, line, f"{name} = {row[at]}", "0 or 1; empty or -1 where nobody knows")
            values.append(value)
        there, unknown = (tuple(i for i, v in enumerate(values) if v == kind) for kind in (1, -1))
        told.append((there, unknown))
    return names, told


def _flags(table: Table) -> list[int]:
    """The columns beside the files' that hold nothing but 0, 1, -1 and empty cells, and a 0 or 1 at least."""
    file_at = table.column(*FILES)
    found = []
    for at in range(len(table.header)):
        values = {_VALUES.get(row[at] if len(row) > at else "") for row in table.rows}
        if at != file_at and None not in values and values & {0, 1}:
            found.append(at)
    return found


def _unused(table: Table, names: Sequence[str]) -> tuple[str, ...]:
    file_at = table.column(*FILES)
    used = {plain(name).casefold() for name in names}
    left = [name for at, name in enumerate(table.header) if at != file_at and plain(name).casefold() not in used]
    return written_differently(table.header) + ((f"columns not used: {some(left)}",) if left else ())


def _bad(path: Path, line: int, got: str, expected: str, fix: str | None = None) -> DataError:
    return DataError(f"{path} line {line} has labels that cannot be used.", got=got, expected=expected, fix=fix)
