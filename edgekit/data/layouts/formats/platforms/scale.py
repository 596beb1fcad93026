"""Scale AI's tasks: a list or a file each, with the picture as `params.attachment` and boxes in `response.annotations`.

Format: scale.com/docs/api-reference/image-and-video-reference, "Image Annotation".
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from edgekit.data.layouts.files.entry import (
    UNUSABLE,
    Entry,
    Format,
    Read,
    Shape,
    around,
    corners,
    json_lines,
    outlined,
    sized,
)
from edgekit.reading import read_json
from edgekit.reading.limits import COCO

_BOX = re.compile(rb'"left"\s*:')


def _fits(file: Path, head: bytes) -> bool:
    task = b'"attachment"' in head or b'"task_id"' in head
    return task and b'"annotations"' in head and (_BOX.search(head) is not None or b'"response"' in head)


def _read(file: Path, root: Path) -> Read:
    if file.suffix.lower() != ".json":
        return Read(json_lines(file, _entry))
    data = read_json(file, COCO, exact=False)
    tasks: Any = data.get("docs", data.get("tasks", [data])) if isinstance(data, dict) else data
    return Read([_entry(task) for task in tasks])


def _entry(task: dict[str, Any]) -> Entry:
    params: dict[str, Any] = task.get("params") or {}
    response = task.get("response", task)
    attached = (params.get("attachment"), task.get("attachment"))
    more = params.get("metadata") or task.get("metadata") or {}
    named = (more.get(key) for key in ("filename", "file_name", "filepath", "name")) if isinstance(more, dict) else ()
    ways = tuple(str(way) for way in (*named, *attached) if way)
    objects: Any = response.get("annotations") if isinstance(response, dict) else None
    if task.get("status", "completed") != "completed" or not isinstance(objects, list):
        return Entry(ways, problem=f"task {task.get('task_id', '')} is not completed")
    return Entry(ways, tuple(_shape(one, f"annotation {i}") for i, one in enumerate(objects, 1)), sized(more))


def _shape(one: dict[str, Any], where: str) -> Shape:
    name, points = str(one["label"]), [(p["x"], p["y"]) for p in one.get("vertices") or ()]
    if {"left", "top", "width", "height"} <= set(one) and not (one.get("rotation") and points):
        return Shape(name, corners(*(one[key] for key in ("left", "top", "width", "height"))), where)
    if one.get("type") in ("polygon", "box", "ellipse"):  # a turned box or ellipse by its four ends
        whole = outlined(name, points, where, "polygon" if one["type"] == "polygon" else "turned box")
        return whole if one["type"] != "ellipse" else Shape(name, UNUSABLE, where)
    return Shape(name, around(points) if one.get("type") == "line" else UNUSABLE, where)


FORMAT = Format("scale", frozenset({".json", ".jsonl", ".ndjson"}), _fits, _read, "Scale AI's tasks")
