"""Boxes as parts of the picture, from 0 to 1, where the format has pixels: a converter or a cloud wrote them so."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgekit.data.layouts.files.corners import four
from edgekit.data.layouts.files.entry import Entry
from edgekit.errors import DataError

NOTE = "{box} read as parts of the picture: none of all is larger than a pixel"
_LARGEST = 1.01  # rounded numbers


def are_parts(numbers: Iterable[float]) -> bool:
    """Whether the numbers of all boxes of a set are parts: no set of pictures has objects of a pixel alone."""
    known = [v for v in numbers if math.isfinite(v)]
    inside = bool(known) and min(known) >= 1 - _LARGEST and max(known) <= _LARGEST
    return inside and not all(v.is_integer() for v in known)


def as_parts(entry: Entry) -> Entry:
    """The same entry, of a set whose numbers `are_parts`."""
    return replace(entry, parts=True, shapes=tuple(replace(shape, note=shape.note or NOTE) for shape in entry.shapes))


def coco_to_pixels(data: dict[str, Any], file: Path) -> str:
    """Makes pixels of all boxes and polygons of a COCO file, as read from JSON, if they are parts.

    Returns:
        The note about it; "" where they are pixels.

    Raises:
        DataError: they are parts, and the file does not say of what.
    """
    boxes = [(item, box) for item in data["annotations"] if (box := four(item.get("bbox"))) is not None]
    if not are_parts(v for _, box in boxes for v in box):
        return ""
    sizes = {str(image["id"]): four([image.get(side) for side in ("width", "height") * 2]) for image in data["images"]}
    for item, box in boxes:
        size = sizes.get(str(item["image_id"]))
        if size is None or min(size) <= 0:
            raise DataError(
                f"{file} has boxes as parts of their pictures, and does not say how large those are.",
                got=f"annotation {item.get('id')}: {list(box)}",
                expected="x y w h in pixels, or width and height of every image",
            )
        item["bbox"] = [v * s for v, s in zip(box, size, strict=True)]
        item.pop("area", None)
        rings = item.get("segmentation")
        if isinstance(rings, list) and all(isinstance(ring, list) for ring in rings) and _rings_are_parts(rings):
            item["segmentation"] = [[v * size[i % 2] for i, v in enumerate(ring)] for ring in rings]
    return NOTE


def _rings_are_parts(rings: list[list[Any]]) -> bool:
    return all(isinstance(v, (int, float)) and abs(v) <= _LARGEST for ring in rings for v in ring)
