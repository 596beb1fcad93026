"""Unity Perception's frames (SOLO): captures with a picture and `BoundingBox2D` values in pixels.

Format: github.com/Unity-Technologies/com.unity.perception, "SOLO schema".
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from edgekit.data.layouts.files.entry import Entry, Format, Read, Shape, corners
from edgekit.reading import read_json
from edgekit.reading.limits import LIST

_MARKS = re.compile(rb'"captures"\s*:\s*\[')


def _fits(file: Path, head: bytes) -> bool:
    return _MARKS.search(head) is not None and b'"filename"' in head


def _read(file: Path, root: Path) -> Read:
    captures = read_json(file, LIST, exact=False)["captures"]
    return Read([_entry(capture) for capture in captures if "filename" in capture])


def _entry(capture: dict[str, Any]) -> Entry:
    kinds = [one for one in capture.get("annotations") or () if "BoundingBox2D" in str(one.get("@type"))]
    if not kinds:
        return Entry((str(capture["filename"]),), problem="it has no 2D boxes")
    shapes = tuple(_shape(value, f"box {i}") for one in kinds for i, value in enumerate(one.get("values") or (), 1))
    size = capture.get("dimension") or []
    return Entry((str(capture["filename"]),), shapes, (float(size[0]), float(size[1])) if len(size) == 2 else None)


def _shape(value: dict[str, Any], where: str) -> Shape:
    if "origin" in value:
        return Shape(str(value["labelName"]), corners(*value["origin"], *value["dimension"]), where)
    return Shape(str(value["label_name"]), corners(*(value.get(key) for key in ("x", "y", "width", "height"))), where)


FORMAT = Format("unity", frozenset({".json"}), _fits, _read, "Unity Perception's frames")
