"""Labelbox's exports: an object a line with `data_row` (NDJSON), or the older list with `Labeled Data`.

Format: docs.labelbox.com, "Export overview"; of an object `bounding_box` or `bbox`, else `polygon`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from edgekit.data.layouts.files.entry import Entry, Format, Read, Shape, around, corners
from edgekit.reading import load_json, read_text
from edgekit.reading.limits import LIST

_MARKS = re.compile(rb'"data_row"\s*:\s*\{|"Labeled Data"\s*:')


def _fits(file: Path, head: bytes) -> bool:
    return _MARKS.search(head) is not None


def _read(file: Path, root: Path) -> Read:
    text = read_text(file, LIST).strip()
    whole = load_json(text, exact=False) if text.startswith("[") else None
    items = whole if whole is not None else _lines(text)
    return Read([_new(item) if "data_row" in item else _old(item) for item in items if isinstance(item, dict)])


def _lines(text: str) -> Iterator[Any]:
    for number, line in enumerate(text.splitlines(), 1):
        try:
            if line.strip():
                yield load_json(line, exact=False)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from error


def _new(item: dict[str, Any]) -> Entry:
    row, size = item["data_row"], item.get("media_attributes") or {}
    stated = (float(size["width"]), float(size["height"])) if {"width", "height"} <= set(size) else None
    ways = tuple(str(row[key]) for key in ("external_id", "global_key", "row_data") if row.get(key))
    labels = [label for project in item.get("projects", {}).values() for label in project.get("labels") or ()]
    if not labels:
        return Entry(ways, size=stated, problem="nobody labelled it")
    objects = (one for label in labels for one in label["annotations"].get("objects") or ())
    return Entry(ways, _shapes(objects), stated)


def _old(item: dict[str, Any]) -> Entry:
    ways = tuple(str(item[key]) for key in ("External ID", "Labeled Data") if item.get(key))
    label = item.get("Label")
    if not isinstance(label, dict) or item.get("Skipped"):
        return Entry(ways, problem="nobody labelled it")
    return Entry(ways, _shapes(label.get("objects") or ()))


def _shapes(objects: Iterable[dict[str, Any]]) -> tuple[Shape, ...]:
    return tuple(_shape(one, i) for i, one in enumerate(objects, 1))


def _shape(one: dict[str, Any], number: int) -> Shape:
    name = str(one.get("name") or one.get("title") or one["value"])
    box, where = one.get("bounding_box") or one.get("bbox"), f"object {number}"
    if isinstance(box, dict):
        return Shape(name, corners(*(box.get(key) for key in ("left", "top", "width", "height"))), where)
    return Shape(name, around((p.get("x"), p.get("y")) for p in one.get("polygon") or ()), where)


FORMAT = Format("labelbox", frozenset({".ndjson", ".jsonl", ".json"}), _fits, _read, "Labelbox's export")
