"""Datumaro's JSON, a file a split: items with annotations of a label number; also as CVAT exports it.

Format: openvinotoolkit.github.io/datumaro, "Datumaro Format". A box is x y width height, a size is height and width.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from edgekit.data.drawn_mask import Outline
from edgekit.data.layouts.files.entry import (
    UNUSABLE,
    Entry,
    Format,
    Read,
    Shape,
    around,
    corners,
    outlined,
    pairs,
)
from edgekit.data.names import split_of
from edgekit.reading import read_json
from edgekit.reading.limits import COCO
from edgekit.vision.masks import mask_bounds, mask_runs

_ITEMS, _CATEGORIES = re.compile(rb'"items"\s*:\s*\['), re.compile(rb'"categories"\s*:\s*\{')
_WHOLE = ("label", "caption", "hash_key", "feature_vector", "tabular")  # of the picture


def _fits(file: Path, head: bytes) -> bool:
    return _ITEMS.search(head) is not None and _CATEGORIES.search(head) is not None


def _read(file: Path, root: Path) -> Read:
    data = read_json(file, COCO, exact=False)
    names = tuple(str(label["name"]) for label in (data["categories"].get("label") or {"labels": []})["labels"])
    split = split_of(file.stem) or ""
    return Read([_entry(item, names, split) for item in data["items"]], names)


def _entry(item: dict[str, Any], names: tuple[str, ...], split: str) -> Entry:
    image = item.get("image") or item.get("media") or {}
    size = image.get("size")
    stated = (float(size[1]), float(size[0])) if isinstance(size, list) and len(size) == 2 else None
    objects = [one for one in item["annotations"] if one["type"] not in _WHOLE]
    shapes = tuple(_shape(one, names, f"annotation {i}") for i, one in enumerate(objects, 1))
    ways = tuple(str(way) for way in (image.get("path"), item["id"]) if way)
    return Entry(ways, shapes, stated, split)


def _shape(one: dict[str, Any], names: tuple[str, ...], where: str) -> Shape:
    number, kind = one.get("label_id"), one["type"]
    if not isinstance(number, int) or not 0 <= number < len(names):
        raise ValueError(f"{where} has the label {number}, and there are {len(names)}")
    name, crowd = names[number], bool((one.get("attributes") or {}).get("is_crowd"))
    if kind == "bbox":
        return Shape(name, corners(*one["bbox"]), where, ignored=crowd)
    if kind == "polygon":
        return outlined(name, pairs(one["points"]), where)
    if kind in ("ellipse", "polyline"):  # an ellipse by the corners of the box around it
        return Shape(name, around(pairs(one["points"])), where, note=f"{{{kind}}}, taken as the box around")
    runs = mask_runs(one["rle"]) if kind == "mask" and "rle" in one else None
    if runs is None:
        return Shape(name, UNUSABLE, where)
    outline = Outline(runs=tuple(runs[0].tolist()), shape=runs[1:])
    xyxy = mask_bounds(one["rle"]) or UNUSABLE
    return Shape(name, xyxy, where, None, crowd, outline, "{mask}, taken as the box around")


FORMAT = Format("datumaro", frozenset({".json"}), _fits, _read, "Datumaro's JSON")
