"""V7's Darwin JSON, a file a picture: version 2 with `item`, version 1 with `image`. Format: docs.v7labs.com."""

from __future__ import annotations

import re
from itertools import chain
from pathlib import Path
from typing import Any

from edgekit.data.drawn_mask import Outline
from edgekit.data.layouts.files.entry import Entry, Format, Read, Shape, around, corners
from edgekit.reading import read_json
from edgekit.reading.limits import LIST

_MARKS = re.compile(rb'"(?:item|image)"\s*:\s*\{')


def _fits(file: Path, head: bytes) -> bool:
    return _MARKS.search(head) is not None and b'"annotations"' in head and b'"bounding_box"' in head


def _read(file: Path, root: Path) -> Read:
    data = read_json(file, LIST, exact=False)
    item = data.get("item") or data["image"]
    slot = (item.get("slots") or [{}])[0]
    size = [slot.get(key, item.get(key)) for key in ("width", "height")]
    stated = (float(size[0]), float(size[1])) if all(v is not None for v in size) else None
    files = [source.get("file_name") for source in slot.get("source_files") or () if isinstance(source, dict)]
    ways = (item.get("name"), item.get("original_filename"), item.get("filename"), slot.get("file_name"), *files)
    objects = (_shape(one, i) for i, one in enumerate(data["annotations"], 1))
    shapes = tuple(shape for shape in objects if shape is not None)
    return Read([Entry(tuple(str(way) for way in ways if way), shapes, stated)])


def _belongs(file: Path, head: bytes) -> bool:
    """A picture without objects has no boxes to be known by."""
    return _MARKS.search(head) is not None and re.search(rb'"annotations"\s*:\s*\[\s*\]', head) is not None


def _shape(one: dict[str, Any], number: int) -> Shape | None:
    """An object; None for a tag, which is of the whole picture."""
    box, where = one.get("bounding_box"), f"annotation {number}"
    polygon = one.get("polygon")
    paths = (polygon.get("paths") or [polygon.get("path") or ()]) if isinstance(polygon, dict) else []
    try:
        rings = [tuple(float(v) for p in path for v in (p["x"], p["y"])) for path in paths if len(path) > 2]
    except (KeyError, TypeError, ValueError):
        rings = []
    outline = Outline.even_odd(rings) if rings else None
    note = "{polygon}, taken as the box around" if outline else ""
    if isinstance(box, dict):
        xyxy = corners(*(box.get(key) for key in ("x", "y", "w", "h")))
        return Shape(str(one["name"]), xyxy, where, outline=outline, note=note)
    if not isinstance(polygon, dict):
        return None
    points = chain.from_iterable(paths)
    xyxy = around((p.get("x"), p.get("y")) for p in points)
    return Shape(str(one["name"]), xyxy, where, outline=outline, note=note)


FORMAT = Format("darwin", frozenset({".json"}), _fits, _read, "V7's Darwin JSON", belongs=_belongs)
