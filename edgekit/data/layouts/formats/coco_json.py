"""COCO's JSON under any name: Label Studio's result.json, CVAT, VIA, annotations.json, train.json.

What stands in annotations/instances_*.json or as Roboflow calls it is `layouts/coco.py`'s.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from edgekit.data.drawn_mask import Outline
from edgekit.data.layouts.coco import by_number, coco_id, coco_shape, is_crowd, read_coco
from edgekit.data.layouts.files.entry import Entry, Format, Read, Shape
from edgekit.data.names import plain
from edgekit.errors import DataError
from edgekit.screen import some
from edgekit.vision.masks import mask_runs

_IMAGES = re.compile(rb'"images"\s*:\s*\[')
_REST = re.compile(rb'"(annotations|categories|category_id)"\s*:')
_OBJECTS = re.compile(rb'"(category_id|bbox|segmentation)"\s*:')


def _fits(file: Path, head: bytes) -> bool:
    return _IMAGES.search(head) is not None and _REST.search(head) is not None and b'"file_name"' in head and (
        _OBJECTS.search(head) is not None or re.search(rb'"annotations"\s*:\s*\[\s*\]', head) is not None
    )  # fmt: skip


def _read(file: Path, root: Path) -> Read:
    data = read_coco(file)
    names = {coco_id(c["id"]): plain(str(c["name"])) for c in data["categories"]}
    shapes: dict[str, list[Shape]] = {coco_id(image["id"]): [] for image in data["images"]}
    lost = []
    for item in data["annotations"]:
        image = coco_id(item["image_id"])
        if image not in shapes:
            lost.append(f"annotation {item.get('id')}")
            continue
        shapes[image].append(_shape(item, names))
    entries = [
        Entry(_ways(image), tuple(shapes[coco_id(image["id"])]), _size(image)) for image in data["images"]
    ]  # fmt: skip
    if lost:
        entries.append(Entry((f"{some(lost)} of a picture that is not listed",)))
    return Read(entries, tuple(dict.fromkeys(names[i] for i in sorted(names, key=by_number))))


def _ways(image: dict[str, Any]) -> tuple[str, ...]:
    """What the file calls a picture: file_name, which may be bare where an address stands beside it."""
    return tuple(str(image[key]) for key in ("file_name", "coco_url", "path") if image.get(key))


def _size(image: dict[str, Any]) -> tuple[float, float] | None:
    try:
        size = float(image["width"]), float(image["height"])
    except (TypeError, ValueError, LookupError):
        return None
    return size if min(size) > 0 else None


def _shape(item: dict[str, Any], names: dict[str, str]) -> Shape:
    category = coco_id(item["category_id"])
    if category not in names:
        raise DataError(
            f"Annotation {item.get('id')} has a category that does not exist.",
            got=category,
            expected="one of " + some(list(names), 10),
        )
    xyxy, area, note = coco_shape(item)
    where = f"annotation {item.get('id')}"
    return Shape(names[category], xyxy, where, area, is_crowd(item), _outline(item), note)


def _outline(item: dict[str, Any]) -> Outline | None:
    given = item.get("segmentation")
    if isinstance(given, dict):
        runs = mask_runs(given)
        return None if runs is None else Outline(runs=tuple(runs[0].tolist()), shape=runs[1:])
    if not isinstance(given, list) or not given:
        return None
    try:
        rings = tuple(tuple(float(v) for v in ring) for ring in (given if isinstance(given[0], list) else [given]))
    except (TypeError, ValueError):
        return None
    return Outline(rings) if all(len(ring) >= 6 and len(ring) % 2 == 0 for ring in rings) else None


FORMAT = Format("coco", frozenset({".json"}), _fits, _read, "a COCO instances file")
