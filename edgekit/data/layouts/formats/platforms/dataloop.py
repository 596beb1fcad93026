"""Dataloop's JSON of each item: annotations of a label with coordinates in pixels.

Format: github.com/dataloop-ai/dtlpy, `dtlpy.entities.annotation_definitions`.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from edgekit.data.layouts.files.entry import UNUSABLE, Entry, Format, Read, Shape, around, disc, outlined, sized
from edgekit.reading import read_json
from edgekit.reading.limits import LIST

_OWN = re.compile(rb'"(?:datasetId|annotationsCount|itemId|coordinateVersion)"\s*:')
_WHOLE = ("class", "subtitle", "note", "ref_image", "item_description", "text")  # of the picture


def _fits(file: Path, head: bytes) -> bool:
    return b'"annotations"' in head and b'"filename"' in head and _OWN.search(head) is not None


def _read(file: Path, root: Path) -> Read:
    data = read_json(file, LIST, exact=False)
    ways = tuple(str(data[key]) for key in ("filename", "name") if data.get(key))
    objects = [one for one in data["annotations"] if one["type"] not in _WHOLE]
    if data.get("annotated") is False and not objects:
        return Read([Entry(ways, problem="nobody labelled it")])
    shapes = tuple(_shape(one, f"annotation {i}") for i, one in enumerate(objects, 1))
    return Read([Entry(ways, shapes, sized((data.get("metadata") or {}).get("system")))])


def _shape(one: dict[str, Any], where: str) -> Shape:
    name, kind = str(one["label"]), one["type"]
    given: Any = one.get("coordinates")
    if kind == "ellipse":
        cx, cy, rx, ry = (float(v) for v in (given["center"]["x"], given["center"]["y"], given["rx"], given["ry"]))
        return outlined(name, disc(cx, cy, rx, ry, math.radians(given.get("angle") or 0)), where, "ellipse")
    if not isinstance(given, list):  # a mask, packed as a picture
        return Shape(name, UNUSABLE, where)
    flat = given[0] if given and isinstance(given[0], list) else given  # the outer ring of one with holes
    points = [(p["x"], p["y"]) for p in flat]
    if kind == "box":
        return Shape(name, around(points), where)
    if kind == "segment":
        return outlined(name, points, where)
    xyxy = UNUSABLE if kind == "point" else around(points)
    return Shape(name, xyxy, where, note=f"{{{kind}}}, taken as the box around")


FORMAT = Format("dataloop", frozenset({".json"}), _fits, _read, "Dataloop's JSON of each item")
