"""labelme's JSON of each picture: rectangles, polygons, circles, masks; also what AnyLabeling and X-AnyLabeling write.

Format: github.com/wkentaro/labelme, `LabelFile`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from edgekit.data.drawn_mask import Outline
from edgekit.data.layouts.files.entry import UNUSABLE, Entry, Format, Read, Shape, around, disc
from edgekit.data.layouts.files.packed import placed, png_mask
from edgekit.reading import read_json
from edgekit.reading.limits import LIST

_SHAPES = re.compile(rb'"shapes"\s*:')
_MARKS = re.compile(rb'"(imagePath|imageData|shape_type|imageHeight|version)"\s*:')


def _fits(file: Path, head: bytes) -> bool:
    return _SHAPES.search(head) is not None and _MARKS.search(head) is not None


def _read(file: Path, root: Path) -> Read:
    data = read_json(file, LIST, exact=False)  # the picture may lie within
    if not isinstance(data, dict) or not isinstance(data.get("shapes"), list):
        raise ValueError("no list of shapes")
    size = _size(data)
    shapes = tuple(_shape(item, i, size) for i, item in enumerate(data["shapes"], 1))
    path = data.get("imagePath")
    ways = (str(path),) if path else ()
    return Read((Entry((*ways, "") if ways else ("",), shapes, size),))


def _size(data: dict[str, Any]) -> tuple[float, float] | None:
    width, height = data.get("imageWidth"), data.get("imageHeight")
    return (float(width), float(height)) if isinstance(width, int) and isinstance(height, int) else None


def _shape(item: Any, number: int, size: tuple[float, float] | None) -> Shape:
    name = str(item.get("label") or "").strip() if isinstance(item, dict) else ""
    if not name:
        raise ValueError(f"shape {number} has no label")
    kind, points = str(item.get("shape_type") or "polygon"), item.get("points")
    where = f"shape {number}"
    pairs = points if isinstance(points, list) else []
    if kind == "mask" and item.get("mask") and len(pairs) == 2:
        return _mask(item, name, where, size)
    if kind == "circle" and len(pairs) == 2:
        (cx, cy), (x, y) = ((float(p[0]), float(p[1])) for p in pairs)
        radius = ((x - cx) ** 2 + (y - cy) ** 2) ** 0.5
        ring = disc(cx, cy, radius, radius)
    elif kind in ("rectangle", "mask") or len(pairs) < 3:
        return Shape(name, UNUSABLE if kind == "point" else around(pairs), where)
    else:
        ring = tuple((float(p[0]), float(p[1])) for p in pairs)
    outlined = kind in ("polygon", "circle", "rotation", "ellipse")
    outline = Outline((tuple(v for p in ring for v in p),)) if outlined else None
    return Shape(name, around(ring), where, outline=outline, note=f"{{{kind}}}, taken as the box around")


def _mask(item: dict[str, Any], name: str, where: str, size: tuple[float, float] | None) -> Shape:
    """A PNG whose left upper pixel is the first point; the second is its last pixel."""
    part = png_mask(str(item["mask"]))
    if part is None:
        return Shape(name, UNUSABLE, where)
    try:
        x, y = (int(float(v)) for v in item["points"][0])
    except (TypeError, ValueError, OverflowError):
        return Shape(name, UNUSABLE, where)
    whole = placed(part, x, y, size)
    box = (float(x), float(y), float(x + part.shape[1]), float(y + part.shape[0]))
    outline = None if whole is None else Outline.of_mask(whole)
    return Shape(name, box, where, outline=outline, note="{mask}, taken as the box around")


FORMAT = Format("labelme", frozenset({".json"}), _fits, _read, "labelme's JSON of each picture", each=True)
