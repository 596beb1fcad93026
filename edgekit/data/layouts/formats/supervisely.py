"""Supervisely's JSON of each picture, ann/x.jpg.json beside img/x.jpg; classes in meta.json.

Format: docs.supervisely.com, "Supervisely JSON Annotation".
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from edgekit.data.drawn_mask import Outline
from edgekit.data.layouts.files.entry import UNUSABLE, Corners, Entry, Format, Read, Shape, around, disc
from edgekit.data.layouts.files.packed import placed, png_mask
from edgekit.data.layouts.files.splits import names_file
from edgekit.reading import read_json
from edgekit.reading.limits import LABELS, SETTINGS

_MARKS = re.compile(rb'"(classTitle|geometryType)"\s*:')
_EMPTY = re.compile(rb'"objects"\s*:\s*\[')


def _fits(file: Path, head: bytes) -> bool:
    return _EMPTY.search(head) is not None and (_MARKS.search(head) is not None or b'"size"' in head)


def _read(file: Path, root: Path) -> Read:
    data = read_json(file, LABELS, exact=False)
    size = data.get("size") or {}
    stated = (float(size["width"]), float(size["height"])) if {"width", "height"} <= set(size) else None
    shapes = tuple(_shape(item, i, stated) for i, item in enumerate(data["objects"], 1))
    return Read((Entry(("",), shapes, stated),), _names(file, root))


def _names(file: Path, root: Path) -> tuple[str, ...]:
    meta = names_file(file, root, ("meta.json",))
    if meta is None:
        return ()
    try:
        return tuple(str(c["title"]) for c in read_json(meta, SETTINGS)["classes"])
    except (OSError, ValueError, LookupError, TypeError):
        return ()


def _shape(item: dict[str, Any], number: int, size: tuple[float, float] | None) -> Shape:
    name, kind, where = str(item.get("classTitle", "")).strip(), str(item.get("geometryType")), f"object {number}"
    if not name:
        raise ValueError(f"{where} has no classTitle")
    points = (item.get("points") or {}).get("exterior") or []
    if kind == "bitmap":
        box, mask = _bitmap(item.get("bitmap") or {}, size)
        return Shape(name, box, where, None, False, mask, "{bitmap}, taken as the box around")
    if kind == "rectangle":
        return Shape(name, around(points), where)
    if kind == "point" or (len(points) < 2 and kind != "ellipse"):
        return Shape(name, UNUSABLE, where)
    if kind == "ellipse":
        points = disc(*(float(v) for v in (*item["center"], *item["radius"])))
    inner = (item.get("points") or {}).get("interior") or [] if kind == "polygon" else []
    holes = tuple(tuple(float(v) for p in hole for v in p) for hole in inner if len(hole) > 2)
    ring = tuple(float(v) for p in points for v in p)
    outline = Outline((ring,), holes=holes) if kind in ("polygon", "ellipse") else None
    return Shape(name, around(points), where, None, False, outline, f"{{{kind}}}, taken as the box around")


def _bitmap(given: dict[str, Any], size: tuple[float, float] | None) -> tuple[Corners, Outline | None]:
    """The box of a packed PNG at its origin, and its pixels where the picture's size is stated."""
    part = png_mask(str(given.get("data")), deflated=True)
    try:
        x, y = (int(v) for v in given["origin"])
    except (KeyError, ValueError, TypeError, OverflowError):
        return UNUSABLE, None
    if part is None:
        return UNUSABLE, None
    whole = placed(part, x, y, size)
    box = float(x), float(y), float(x + part.shape[1]), float(y + part.shape[0])
    return box, None if whole is None else Outline.of_mask(whole)


FORMAT = Format("supervisely", frozenset({".json"}), _fits, _read, "Supervisely's JSON of each picture", each=True)
