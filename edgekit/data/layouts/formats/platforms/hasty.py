"""Hasty.ai's JSON: images with labels of a class name, boxes as x1 y1 x2 y2 in pixels.

Format: "Hasty JSON 1.1" of Hasty's exports; pictures lie in a folder called as the `dataset_name`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekit.data.layouts.files.entry import Entry, Format, Read, Shape, ordered, outlined, sized
from edgekit.reading import read_json
from edgekit.reading.limits import COCO


def _fits(file: Path, head: bytes) -> bool:
    return b'"image_name"' in head and b'"images"' in head and (b'"class_name"' in head or b'"label_classes"' in head)


def _read(file: Path, root: Path) -> Read:
    data = read_json(file, COCO, exact=False)
    names = tuple(str(one["class_name"]) for one in data.get("label_classes") or ())
    return Read([_entry(image) for image in data["images"]], names)


def _entry(image: dict[str, Any]) -> Entry:
    name, folder = str(image["image_name"]), str(image.get("dataset_name") or "")
    ways = (f"{folder}/{name}", name) if folder else (name,)
    labels = image.get("labels") or []
    problem = "nobody labelled it" if not labels and image.get("image_status") in ("NEW", "SKIPPED") else ""
    shapes = tuple(_shape(label, f"label {i}") for i, label in enumerate(labels, 1))
    return Entry(ways, shapes, sized(image), problem=problem)


def _shape(label: dict[str, Any], where: str) -> Shape:
    name, box = str(label["class_name"]), label.get("bbox")
    shape = outlined(name, label["polygon"], where) if label.get("polygon") else None
    if not box:
        return shape or Shape(name, ordered(*(None,) * 4), where)
    return Shape(name, ordered(*box), where, outline=shape.outline if shape else None)


FORMAT = Format("hasty", frozenset({".json"}), _fits, _read, "Hasty's JSON")
