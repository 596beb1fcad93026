"""SuperAnnotate's JSON of each picture: `instances` with points, the picture's name in `metadata`.

Format: doc.superannotate.com, "Vector JSON"; class numbers without names are those of classes/classes.json.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from edgekit.data.layouts.files.entry import (
    UNUSABLE,
    Entry,
    Format,
    Read,
    Shape,
    around,
    disc,
    ordered,
    outlined,
    pairs,
    sized,
)
from edgekit.data.layouts.files.splits import names_file
from edgekit.reading import read_json
from edgekit.reading.limits import LABELS, SETTINGS

_MARKS = re.compile(rb'"instances"\s*:\s*\[')
_SUFFIX = re.compile(r"(?:___objects|___pixel)?\.json$")


def _fits(file: Path, head: bytes) -> bool:
    return _MARKS.search(head) is not None and b'"metadata"' in head


def _read(file: Path, root: Path) -> Read:
    data = read_json(file, LABELS, exact=False)
    names, entries = _names(file, root), []
    for item in data if isinstance(data, list) else [data]:
        more = item.get("metadata") or {}
        ways = tuple(str(way) for way in (more.get("name"), _SUFFIX.sub("", file.name)) if way)
        objects = [one for one in item["instances"] if one.get("type") not in ("tag", "comment")]
        shapes = tuple(_shape(one, f"instance {i}", names) for i, one in enumerate(objects, 1))
        new = not shapes and more.get("status") in ("NotStarted", "Skipped")
        entries.append(Entry(ways, shapes, sized(more), problem="nobody labelled it" if new else ""))
    return Read(entries)


def _names(file: Path, root: Path) -> dict[int, str]:
    found = names_file(file, root, ("classes/classes.json", "classes.json"))
    return {int(one["id"]): str(one["name"]) for one in read_json(found, SETTINGS)} if found else {}


def _shape(one: dict[str, Any], where: str, names: dict[int, str]) -> Shape:
    name = str(one.get("className") or names.get(one.get("classId", -1), "")).strip()
    if not name:
        raise ValueError(f"{where} has no class")
    kind = one.get("type")
    points: Any = one.get("points") or {}
    if kind == "bbox":
        return Shape(name, ordered(*(points.get(key) for key in ("x1", "y1", "x2", "y2"))), where)
    if kind in ("rbbox", "rotated_bbox"):
        ends: Any = (
            [(points.get(f"x{i}"), points.get(f"y{i}")) for i in range(1, 5)] if isinstance(points, dict) else points
        )
        return outlined(name, ends, where, "turned box")
    if kind == "polygon":  # flat, or apart for x and y
        both = pairs(points) if isinstance(points, list) else list(zip(points["x"], points["y"], strict=True))
        return outlined(name, both, where)
    if kind == "polyline":
        return Shape(name, around(pairs(points)), where, note="{polyline}, taken as the box around")
    if kind == "ellipse":
        cx, cy, rx, ry = (float(one[key]) for key in ("cx", "cy", "rx", "ry"))
        ring = disc(cx, cy, rx, ry, math.radians(float(one.get("angle") or 0)))
        return outlined(name, ring, where, "ellipse")
    return Shape(name, UNUSABLE, where)


FORMAT = Format("superannotate", frozenset({".json"}), _fits, _read, "SuperAnnotate's JSON of each picture")
