"""One JSON object a line for each picture: Vertex AI, Azure, Hugging Face, CrowdHuman, Prodigy.

Formats: cloud.google.com/vertex-ai/docs/image-data/object-detection/prepare-data, learn.microsoft.com "Data schemas to
train computer vision models with automated machine learning", huggingface.co/docs/datasets/image_dataset,
prodi.gy/docs/api-interfaces "image_manual", and the readme of CrowdHuman (Shao et al. 2018).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from edgekit.data.layouts.files.entry import (
    Entry,
    Format,
    Read,
    Shape,
    around,
    corners,
    json_lines,
    ordered,
    outlined,
    sized,
)
from edgekit.data.names import split_of

_MARKS = re.compile(
    rb'"(?:boundingBoxAnnotations|gtboxes|topX)"\s*:|"spans"\s*:\s*\[.*"answer"\s*:|"objects"\s*:\s*\{\s*"'
)
_CLASSES = ("categories", "category", "labels", "label", "class")  # of Hugging Face's objects: names or numbers


def _fits(file: Path, head: bytes) -> bool:
    return _MARKS.search(head) is not None


def _read(file: Path, root: Path) -> Read:
    return Read(json_lines(file, _entry))


def _entry(item: dict[str, Any]) -> Entry:
    read = next((read for key, read in _KINDS.items() if key in item), None)
    if read is None:
        raise ValueError(f"no {' or '.join(_KINDS)}")
    return read(item)


def _vertex(item: dict[str, Any]) -> Entry:
    use = str((item.get("dataItemResourceLabels") or {}).get("aiplatform.googleapis.com/ml_use", ""))
    shapes = tuple(
        Shape(str(one["displayName"]), ordered(*(one.get(k) for k in ("xMin", "yMin", "xMax", "yMax"))), f"object {i}")
        for i, one in enumerate(item.get("boundingBoxAnnotations") or (), 1)
    )
    return Entry((str(item["imageGcsUri"]),), shapes, split=split_of(use) or "", parts=True)


def _azure(item: dict[str, Any]) -> Entry:
    shapes = []
    for i, one in enumerate(item["label"], 1):
        xyxy = ordered(*(one.get(k) for k in ("topX", "topY", "bottomX", "bottomY")))
        if "topX" not in one:  # polygons of x y x y
            xyxy = around((x, y) for ring in one["polygon"] for x, y in zip(ring[::2], ring[1::2], strict=True))
        shapes.append(Shape(str(one["label"]), xyxy, f"object {i}", ignored=bool(one.get("isCrowd"))))
    return Entry((str(item["image_url"]),), tuple(shapes), parts=True)


def _crowdhuman(item: dict[str, Any]) -> Entry:
    shapes = tuple(
        Shape(
            str(one["tag"]),
            corners(*one["fbox"]),
            f"object {i}",
            ignored=one["tag"] == "mask" or (one.get("extra") or {}).get("ignore") == 1,
        )
        for i, one in enumerate(item["gtboxes"], 1)
    )
    # an ID may have commas and dots, and no suffix: 273271,1a0d6000b9e1f5b7
    return Entry((f"{item['ID']}.jpg",), shapes)


def _hugging_face(item: dict[str, Any]) -> Entry:
    objects = item["objects"]
    named = next((objects[key] for key in _CLASSES if key in objects), ())
    if objects["bbox"] and not named:
        raise ValueError("no classes: none of " + ", ".join(_CLASSES))
    shapes = tuple(
        Shape(str(name), corners(*box), f"object {i}")
        for i, (box, name) in enumerate(zip(objects["bbox"], named, strict=True), 1)
    )
    return Entry((str(item["file_name"]),), shapes)


def _prodigy(item: dict[str, Any]) -> Entry:
    image, more = str(item.get("image") or ""), item.get("meta") or {}
    named = (item.get("path"), more.get("file"), "" if image.startswith("data:") else image, item.get("text"))
    ways = tuple(str(way) for way in named if way)
    if item.get("answer", "accept") != "accept":
        return Entry(ways, problem=f"answered by {item['answer']}")
    shapes = []
    for i, one in enumerate(item["spans"], 1):
        if one.get("type", "rect") == "rect":
            shapes.append(Shape(str(one["label"]), around(one["points"]), f"span {i}"))
        else:
            shapes.append(outlined(str(one["label"]), one["points"], f"span {i}"))
    return Entry(ways, tuple(shapes), sized(item))


# by what only theirs has
_KINDS = {
    "spans": _prodigy,
    "imageGcsUri": _vertex,
    "image_url": _azure,
    "gtboxes": _crowdhuman,
    "objects": _hugging_face,
}

FORMAT = Format("records", frozenset({".jsonl", ".odgt"}), _fits, _read, "a JSON object a line for each picture")
