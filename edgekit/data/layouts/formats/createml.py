"""Create ML's JSON: a list of pictures, boxes by their centres in pixels.

Format: developer.apple.com/documentation/createml, "Building an object detector data source".
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from edgekit.data.layouts.files.entry import UNUSABLE, Entry, Format, Read, Shape
from edgekit.reading import read_json
from edgekit.reading.limits import LIST

_MARKS = re.compile(rb'"coordinates"\s*:\s*\{')
_PICTURE = ("image", "imagefilename", "imageFilename", "filename", "image_name")


def _fits(file: Path, head: bytes) -> bool:
    return head.lstrip()[:1] == b"[" and _MARKS.search(head) is not None


def _read(file: Path, root: Path) -> Read:
    items = read_json(file, LIST, exact=False)
    return Read([_entry(item) for item in items if isinstance(item, dict)])


def _entry(item: dict[str, Any]) -> Entry:
    lists = (item[key] for key in ("annotations", "annotation", "labels") if isinstance(item.get(key), list))
    objects: list[Any] | None = next(lists, None)
    ways = tuple(str(item[key]) for key in _PICTURE if item.get(key))
    if objects is None:
        return Entry(ways, problem="it has no list of annotations")
    return Entry(ways, tuple(_shape(one, i) for i, one in enumerate(objects, 1) if isinstance(one, dict)))


def _shape(one: dict[str, Any], number: int) -> Shape:
    name = str(one.get("label") or one.get("identifier") or "").strip()
    if not name:
        raise ValueError(f"annotation {number} has no label")
    try:
        cx, cy, w, h = (float(one["coordinates"][key]) for key in ("x", "y", "width", "height"))
    except (TypeError, ValueError, LookupError):
        return Shape(name, UNUSABLE, f"annotation {number}")
    return Shape(name, (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2), f"annotation {number}")


FORMAT = Format("create ml", frozenset({".json"}), _fits, _read, "Create ML's JSON")
