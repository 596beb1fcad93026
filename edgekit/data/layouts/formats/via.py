"""The VGG Image Annotator's JSON: of version 2, alone or in a project, and of version 3.

Format: robots.ox.ac.uk/~vgg/software/via, "via_export_json.json" and "via_project".
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgekit.data.drawn_mask import Outline
from edgekit.data.layouts.files.entry import UNUSABLE, Entry, Format, Read, Shape, around, corners, disc
from edgekit.reading import read_json
from edgekit.reading.limits import LIST

_MARKS = re.compile(rb'"(_via_img_metadata|region_attributes|shape_attributes)"\s*:')
_THIRD = re.compile(rb'"(vid)"\s*:')
_CLASS = ("class", "label", "name", "type", "category", "species", "object", "object_name")
_ONE = "object"  # what objects are where nobody named them


def _fits(file: Path, head: bytes) -> bool:
    third = _THIRD.search(head) is not None and b'"av"' in head and b'"metadata"' in head
    empty = b'"regions"' in head and b'"filename"' in head and b'"size"' in head
    return _MARKS.search(head) is not None or third or empty


def _read(file: Path, root: Path) -> Read:
    data = read_json(file, LIST, exact=False)
    if not isinstance(data, dict):
        raise ValueError("a list, not pictures by their keys")
    if isinstance(data.get("metadata"), dict) and isinstance(data.get("file"), dict):
        return Read(list(_third(data)))
    pictures = data.get("_via_img_metadata", data)
    found = [value for value in pictures.values() if isinstance(value, dict) and "filename" in value]
    regions = {id(one): _regions(one) for one in found}
    key = class_key(r.get("region_attributes") or {} for mine in regions.values() for r in mine)
    return Read(
        [Entry((str(one["filename"]),), tuple(shapes_of(regions[id(one)], key))) for one in found]
    )  # fmt: skip


def _regions(one: dict[str, Any]) -> list[dict[str, Any]]:
    given = one.get("regions") or []
    return [r for r in (given.values() if isinstance(given, dict) else given) if isinstance(r, dict)]


def class_key(attributes: Any) -> str:
    """Which of the attributes of regions names their class: one of the usual names, else the one most have."""
    counted = Counter(key for mine in attributes if isinstance(mine, dict) for key, value in mine.items() if value)
    usual = [key for name in _CLASS for key in counted if key.strip().casefold() == name]
    return usual[0] if usual else counted.most_common(1)[0][0] if counted else ""


def shapes_of(regions: list[dict[str, Any]], key: str) -> Iterator[Shape]:
    """The objects of one picture."""
    for i, region in enumerate(regions, 1):
        value = (region.get("region_attributes") or {}).get(key, "") if key else _ONE
        names = [name for name, on in value.items() if on] if isinstance(value, dict) else [str(value).strip()]
        if not names or not names[0]:
            raise ValueError(f"region {i} has no {key}")
        yield via_shape(region.get("shape_attributes") or {}, names[0], f"region {i}")


def via_shape(given: dict[str, Any], name: str, where: str) -> Shape:
    """One shape by its attributes."""
    kind = str(given.get("name", "rect"))
    if kind == "rect":
        return Shape(name, corners(*(given.get(key) for key in ("x", "y", "width", "height"))), where)
    ring: tuple[tuple[float, ...], ...] = ()
    if kind in ("polygon", "polyline"):
        ring = tuple(
            (float(x), float(y))
            for x, y in zip(given.get("all_points_x", ()), given.get("all_points_y", ()), strict=False)
        )
    elif kind in ("circle", "ellipse"):
        cx, cy = float(given["cx"]), float(given["cy"])
        ring = disc(cx, cy, float(given.get("rx", given.get("r"))), float(given.get("ry", given.get("r"))))  # type: ignore[arg-type]
    outline = Outline((tuple(v for p in ring for v in p),)) if len(ring) > 2 and kind != "polyline" else None
    return Shape(
        name, around(ring) if ring else UNUSABLE, where, None, False, outline, f"{{{kind}}}, taken as the box around"
    )


def _third(data: dict[str, Any]) -> Iterator[Entry]:
    """Version 3: files, views of them, and metadata with `xy` [kind, numbers] and `av` attribute values."""
    views = {key: [str(f) for f in view.get("fid_list", ())] for key, view in (data.get("view") or {}).items()}
    options = {key: a.get("options") or {} for key, a in (data.get("attribute") or {}).items() if isinstance(a, dict)}
    shapes: dict[str, list[Shape]] = {key: [] for key in data["file"]}
    for number, item in enumerate(data["metadata"].values(), 1):
        numbers, where = item.get("xy") or [], f"metadata {number}"
        for key in views.get(str(item.get("vid")), [str(item.get("vid"))]):
            if key in shapes and len(numbers) > 1:
                shapes[key].append(_of_three(numbers, item.get("av") or {}, options, where))
    for key, file in data["file"].items():
        yield Entry((str(file.get("fname", "")), str(file.get("src", ""))), tuple(shapes[key]))


def _of_three(numbers: list[Any], values: dict[str, Any], options: dict[str, Any], where: str) -> Shape:
    told = next(((key, value) for key, value in values.items() if value not in ("", None)), None)
    name = _ONE if told is None else str(options.get(told[0], {}).get(str(told[1]), told[1]))
    kind, *rest = numbers
    if kind == 2:
        return Shape(name, corners(*rest[:4]), where)
    if kind in (3, 4):
        rx, ry = (rest[2], rest[2]) if kind == 3 else rest[2:4]
        return Shape(name, around(disc(*map(float, (rest[0], rest[1], rx, ry)))), where)
    ring = list(zip(rest[::2], rest[1::2], strict=False))
    outline = Outline((tuple(float(v) for v in rest),)) if kind == 7 and len(rest) >= 6 else None
    return Shape(name, around(ring) if len(ring) > 1 else UNUSABLE, where, outline=outline)


FORMAT = Format("via", frozenset({".json"}), _fits, _read, "the VGG Image Annotator's JSON")
