"""FiftyOne's own JSON: samples.json of a dataset, or labels.json of detections. Boxes are parts of the picture.

Format: docs.voxel51.com/user_guide/export_datasets.html, "FiftyOneDataset" and "FiftyOneImageDetectionDataset".
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from edgekit.data.layouts.files.entry import Entry, Format, Read, Shape, corners, outlined, sized
from edgekit.data.names import split_of
from edgekit.reading import read_json
from edgekit.reading.limits import COCO

_SAMPLES = re.compile(rb'"samples"\s*:\s*\[')
_LABELS = re.compile(rb'"labels"\s*:\s*\{')
_KINDS = {"Detections": "detections", "Polylines": "polylines"}  # fields with objects, and where those stand
_TRUTH = ("ground_truth", "groundtruth", "gt", "truth", "labels", "annotations")  # what people call the right ones


def _fits(file: Path, head: bytes) -> bool:
    if head.lstrip()[:1] != b"{" or not (b'"bounding_box"' in head or b'"_cls"' in head):
        return False
    return (_SAMPLES.search(head) is not None and b'"filepath"' in head) or _LABELS.search(head) is not None


def _read(file: Path, root: Path) -> Read:
    data = read_json(file, COCO, exact=False)
    if isinstance(data.get("labels"), dict):
        names = tuple(map(str, data.get("classes") or ()))
        return Read([_plain(key, objects or (), names) for key, objects in data["labels"].items()], names)
    samples = [one for one in data["samples"] if one.get("_media_type", "image") == "image"]
    field = _field(samples)
    return Read([_sample(one, field) for one in samples])


def _field(samples: list[dict[str, Any]]) -> str:
    """The field with the labels: one of the usual names, else the only one with objects. Raises ValueError."""
    found = dict.fromkeys(
        key for one in samples for key, value in one.items() if isinstance(value, dict) and value.get("_cls") in _KINDS
    )
    usual = [key for key in _TRUTH if key in found]
    if not found or (len(found) > 1 and not usual):
        raise ValueError(f"which field has the labels? {', '.join(found) or 'none has any'}; call it ground_truth")
    return usual[0] if usual else next(iter(found))


def _sample(one: dict[str, Any], field: str) -> Entry:
    split = next((split for tag in one.get("tags") or () if (split := split_of(str(tag)))), "")
    value = one.get(field)
    ways, size = (str(one["filepath"]),), sized(one.get("metadata"))
    if not isinstance(value, dict):
        return Entry(ways, size=size, split=split, problem=f"nothing in {field}: nobody labelled it")
    objects = value.get(_KINDS.get(value.get("_cls", ""), "")) or ()
    shapes = tuple(_shape(item, f"object {i}") for i, item in enumerate(objects, 1))
    return Entry(ways, shapes, size, split, parts=True)


def _shape(item: dict[str, Any], where: str) -> Shape:
    name = str(item.get("label") or "").strip()
    if not name:
        raise ValueError(f"{where} has no label")
    if "bounding_box" in item:
        return Shape(name, corners(*item["bounding_box"]), where)
    return outlined(name, [point for ring in item["points"] for point in ring], where)


def _plain(key: str, objects: Any, names: tuple[str, ...]) -> Entry:
    """Of labels.json: objects by the picture's name without suffix, labels as names or as numbers of `classes`."""
    shapes = []
    for i, one in enumerate(objects, 1):
        label = one["label"]
        name = names[label] if isinstance(label, int) and 0 <= label < len(names) else str(label)
        shapes.append(Shape(name, corners(*one["bounding_box"]), f"object {i}"))
    return Entry((key,), tuple(shapes), parts=True)


FORMAT = Format("fiftyone", frozenset({".json"}), _fits, _read, "FiftyOne's JSON")
