"""Encord's JSON of label rows: data units with objects, boxes and polygons as parts of the picture.

Format: docs.encord.com, "JSON Format Export"; encord-client-python, `encord.orm.label_row`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from edgekit.data.layouts.files.entry import UNUSABLE, Entry, Format, Read, Shape, corners, outlined, sized, turned
from edgekit.reading import read_json
from edgekit.reading.limits import COCO


def _fits(file: Path, head: bytes) -> bool:
    return b'"data_units"' in head and (b'"label_hash"' in head or b'"objects"' in head)


def _read(file: Path, root: Path) -> Read:
    data = read_json(file, COCO, exact=False)
    rows = data if isinstance(data, list) else [data]
    return Read([entry for row in rows for unit in row["data_units"].values() for entry in _entries(unit)])


def _entries(unit: dict[str, Any]) -> list[Entry]:
    labels, size = unit.get("labels") or {}, sized(unit)
    ways = tuple(str(unit[key]) for key in ("data_title", "data_link") if unit.get(key))
    if "video" in str(unit.get("data_type")):
        return [Entry((f"#{frame}",), _shapes(one, size), size, parts=True) for frame, one in labels.items()]
    if "objects" not in labels:
        return [Entry(ways, size=size, problem="nobody labelled it")]
    return [Entry(ways, _shapes(labels, size), size, parts=True)]


def _shapes(labels: dict[str, Any], size: tuple[float, float] | None) -> tuple[Shape, ...]:
    return tuple(_shape(one, f"object {i}", size) for i, one in enumerate(labels.get("objects") or (), 1))


def _shape(one: dict[str, Any], where: str, size: tuple[float, float] | None) -> Shape:
    name = str(one.get("name") or one["value"])
    box, slanted, ring = (one.get(key) for key in ("boundingBox", "rotatableBoundingBox", "polygon"))
    if isinstance(box, dict):
        return Shape(name, corners(*(box.get(key) for key in "xywh")), where)
    if isinstance(slanted, dict) and size is not None:
        x, y, w, h = (float(slanted[key]) * size[i % 2] for i, key in enumerate("xywh"))
        angle = math.radians(float(slanted.get("theta") or 0))
        ends = turned(x + w / 2, y + h / 2, w, h, angle)
        return outlined(name, [(px / size[0], py / size[1]) for px, py in ends], where, "turned box")
    if ring:
        points = ring.values() if isinstance(ring, dict) else ring
        return outlined(name, [(p["x"], p["y"]) for p in points], where)
    return Shape(name, UNUSABLE, where)


FORMAT = Format("encord", frozenset({".json"}), _fits, _read, "Encord's JSON")
