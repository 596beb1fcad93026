"""Supervisely's JSON of each picture, ann/x.jpg.json beside img/x.jpg; classes in meta.json.

Format: docs.supervisely.com, "Supervisely JSON Annotation".
"""

from __future__ import annotations

import base64
import binascii
import io
import re
import zlib
from pathlib import Path
from typing import Any

from PIL import Image

from edgekit.data.drawn_mask import Outline
from edgekit.data.layouts.files.entry import UNUSABLE, Corners, Entry, Format, Read, Shape, around, disc
from edgekit.data.layouts.files.splits import names_file
from edgekit.reading import read_json
from edgekit.reading.limits import LABELS, SETTINGS

_MARKS = re.compile(rb'"(classTitle|geometryType)"\s*:')
_EMPTY = re.compile(rb'"objects"\s*:\s*\[')
_MOST = 64 << 20  # bytes of an unpacked bitmap


def _fits(file: Path, head: bytes) -> bool:
    return _EMPTY.search(head) is not None and (_MARKS.search(head) is not None or b'"size"' in head)


def _read(file: Path, root: Path) -> Read:
    data = read_json(file, LABELS, exact=False)
    shapes = tuple(_shape(item, i) for i, item in enumerate(data["objects"], 1))
    size = data.get("size") or {}
    stated = (float(size["width"]), float(size["height"])) if {"width", "height"} <= set(size) else None
    return Read((Entry(("",), shapes, stated),), _names(file, root))


def _names(file: Path, root: Path) -> tuple[str, ...]:
    meta = names_file(file, root, ("meta.json",))
    if meta is None:
        return ()
    try:
        return tuple(str(c["title"]) for c in read_json(meta, SETTINGS)["classes"])
    except (OSError, ValueError, LookupError, TypeError):
        return ()


def _shape(item: dict[str, Any], number: int) -> Shape:
    name, kind, where = str(item.get("classTitle", "")).strip(), str(item.get("geometryType")), f"object {number}"
    if not name:
        raise ValueError(f"{where} has no classTitle")
    points = (item.get("points") or {}).get("exterior") or []
    if kind == "bitmap":
        return Shape(name, _bitmap(item.get("bitmap") or {}), where, note="{bitmap}, taken as the box around")
    if kind == "rectangle":
        return Shape(name, around(points), where)
    if kind == "point" or (len(points) < 2 and kind != "ellipse"):
        return Shape(name, UNUSABLE, where)
    if kind == "ellipse":
        points = disc(*(float(v) for v in (*item["center"], *item["radius"])))
    outline = Outline((tuple(float(v) for p in points for v in p),)) if kind in ("polygon", "ellipse") else None
    return Shape(name, around(points), where, None, False, outline, f"{{{kind}}}, taken as the box around")


def _bitmap(given: dict[str, Any]) -> Corners:
    """The box of a packed PNG at its origin."""
    try:
        packed = zlib.decompressobj().decompress(base64.b64decode(str(given["data"])), _MOST)
        with Image.open(io.BytesIO(packed), formats=("PNG",)) as image:
            width, height = image.size
        x, y = (float(v) for v in given["origin"])
    except (KeyError, ValueError, TypeError, OSError, zlib.error, binascii.Error):
        return UNUSABLE
    return x, y, x + width, y + height


FORMAT = Format("supervisely", frozenset({".json"}), _fits, _read, "Supervisely's JSON of each picture", each=True)
