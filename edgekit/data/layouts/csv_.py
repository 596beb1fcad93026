"""A table of labelled pictures: `file,class_index` or `file,class`, with paths relative to the table.

One with several labels a picture is `csv_labels`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.data.classes.class_map import proposal
from edgekit.data.layouts.csv_labels import Table, has_labels, load_labels, read_table
from edgekit.data.names import alike, existing, plain, written_differently
from edgekit.data.pictures import in_two_classes, left_out, readable
from edgekit.data.sample import Dataset, Sample, class_index
from edgekit.errors import DataError
from edgekit.reading import is_file
from edgekit.screen import count_of, some
from edgekit.vision.clutter import clutter_note
from edgekit.vision.find import scan

_HEADER = "file,class_index or file,class; file,labels or a column of 0 and 1 a class for several labels a picture"


@dataclass(frozen=True)
class _Row:
    line: int
    file: str
    value: str


def load_csv(path: Path, classes: Sequence[str] | None = None) -> Dataset:
    """The pictures that the table `path` lists, in its order.

    Args:
        path: UTF-8 with a header. Of `class_index` and `class` the first is used; other columns are ignored.
        classes: the model's. Without them indices stay numbers, and class names are sorted.

    Raises:
        DataError: no such columns, no rows, missing files (the first five are named), an index or name that is not
            one of `classes`, or one file with two labels.
    """
    table = read_table(path)
    if has_labels(table, classes):
        return load_labels(table, classes)
    rows, by_index, notes = _rows(table)
    files = {r.file: existing(path.parent / r.file) for r in rows}
    missing = [r.file for r in rows if not is_file(files[r.file])]
    if missing:
        raise DataError(
            f"{path} lists files that are not there.",
            got=f"{len(missing)} missing: {some(missing)}",
            expected=f"paths relative to {path.parent}",
        )
    names = tuple(classes) if classes is not None else None
    if names is None and not by_index:
        names = tuple(sorted({plain(r.value) for r in rows}))
    labels: dict[str, int] = {}
    doubled = 0
    for row in rows:
        label = _index(row, names, path) if by_index else _named(row, names or (), path, rows)
        if labels.setdefault(row.file, label) != label:
            raise DataError(
                f"{path} gives one picture two labels.",
                got=f"{row.file}: {labels[row.file]} and {label} (line {row.line})",
                expected="one label a picture",
            )
    doubled = len(rows) - len(labels)
    samples, unreadable = readable(Sample(files[f], None, label, f) for f, label in labels.items())
    if doubled:
        notes += (f"{count_of(doubled, 'row')} of a picture that is listed before; each picture is taken once",)
    if not by_index:
        notes += written_differently(r.value for r in rows) + (alike(names or ()) if classes is None else ())
    notes += in_two_classes(samples, names)
    listed = {files[f].resolve() for f in labels}
    scanned = scan(path.parent)
    unlisted = [p for p in scanned.pictures if p.resolve() not in listed]
    notes += clutter_note(scanned.clutter, path.parent)
    notes += unreadable + left_out(unlisted, path.parent, f"not listed in {path.name}")
    return Dataset(samples, names, "csv", notes)


def _rows(table: Table) -> tuple[list[_Row], bool, tuple[str, ...]]:
    """The rows, whether their values are indices, and notes."""
    path, file_at, value_at = table.path, table.column("file"), table.column("class_index", "class")
    if file_at is None or value_at is None:
        raise DataError(
            f"{path} does not have the columns of a label table.",
            got=",".join(table.header) or "an empty file",
            expected=_HEADER,
        )
    rows = []
    for cells, line in zip(table.rows, table.lines, strict=True):
        if len(cells) <= max(file_at, value_at) or not cells[file_at] or not cells[value_at]:
            raise _bad_row(path, line, ",".join(cells), "values for file and the class")
        rows.append(_Row(line, cells[file_at], cells[value_at]))
    if not rows:
        raise DataError(f"{path} lists no pictures.", got="a header and nothing below", expected="one row a picture")
    ignored = [name for at, name in enumerate(table.header) if at not in (file_at, value_at)]
    by_index = table.column("class_index") is not None
    return rows, by_index, (f"columns not used: {some(ignored)}",) if ignored else ()


def _index(row: _Row, names: tuple[str, ...] | None, path: Path) -> int:
    expected = f"an index from 0 to {len(names) - 1}" if names is not None else "an index, 0 or more"
    try:
        index = int(row.value)
    except ValueError as error:
        raise _bad_row(path, row.line, row.value, expected) from error
    if index < 0 or (names is not None and index >= len(names)):
        raise _bad_row(path, row.line, row.value, expected)
    return index


def _named(row: _Row, names: tuple[str, ...], path: Path, rows: Sequence[_Row]) -> int:
    index = class_index(row.value, names)
    if index is None:
        unknown = [value for value in dict.fromkeys(r.value for r in rows) if class_index(value, names) is None]
        raise _bad_row(path, row.line, row.value, "one of " + some(names, 10), proposal(unknown, names))
    return index


def _bad_row(path: Path, line: int, got: str, expected: str, fix: str | None = None) -> DataError:
    return DataError(f"{path} line {line} has a label that cannot be used.", got=got, expected=expected, fix=fix)
