"""Label Studio's JSON, whole or "MIN", and its CSV with that in cells: boxes in per cent of the picture.

Format: labelstud.io/guide/export and labelstud.io/tags/rectanglelabels.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgekit.data.drawn_mask import Outline, box_of_pixels
from edgekit.data.layouts.files.entry import UNUSABLE, Corners, Entry, Format, Read, Shape, around, disc
from edgekit.data.layouts.files.packed import brushed
from edgekit.reading import load_json, read_json, read_text
from edgekit.reading.limits import LIST

_KINDS = re.compile(rb'"(rectanglelabels|polygonlabels|ellipselabels|brushlabels|keypointlabels|original_width)"+\s*:')
_LABELS = ("rectanglelabels", "polygonlabels", "ellipselabels", "brushlabels", "labels")
_PICTURE = re.compile(r"(?i)\.(jpe?g|png|bmp|tiff?|webp|p[gpb]m)\b")


def _fits(file: Path, head: bytes) -> bool:
    return _KINDS.search(head) is not None


def _read(file: Path, root: Path) -> Read:
    tasks = _cells(file) if file.suffix.lower() == ".csv" else read_json(file, LIST, exact=False)
    tasks = tasks if isinstance(tasks, list) else [tasks]
    return Read([_task(task, i) for i, task in enumerate(tasks, 1) if isinstance(task, dict)])


def _cells(file: Path) -> list[dict[str, Any]]:
    """The rows of a CSV: as MIN has them once the cells that are lists are read."""
    try:
        rows = list(csv.DictReader(io.StringIO(read_text(file, LIST), newline="")))
    except csv.Error as error:
        raise ValueError(f"no CSV: {error}") from error
    return [
        {key: load_json(cell, exact=False) if str(cell).startswith("[") else cell for key, cell in row.items() if key}
        for row in rows
    ]


def _task(task: dict[str, Any], number: int) -> Entry:
    done = task.get("annotations", task.get("completions"))
    if isinstance(done, list):
        data = task.get("data") if isinstance(task.get("data"), dict) else {}
        assert isinstance(data, dict)
        ways = [str(task["file_upload"])] if task.get("file_upload") else []
        kept = [a for a in done if isinstance(a, dict) and not a.get("was_cancelled")]
        results = kept[0].get("result") or [] if kept else []
        problem = "" if kept else f"task {number} is not labelled yet"
        ignore = "{picture} with several annotations, the first taken" if len(kept) > 1 else ""
    else:  # MIN: the fields of the data beside lists of objects
        data, ways, problem, ignore = task, [], "", ""
        results = [{"value": one, **one} for value in task.values() if isinstance(value, list) for one in value
                   if isinstance(one, dict) and "original_width" in one]  # fmt: skip
    written = [str(value) for value in data.values() if isinstance(value, str) and _PICTURE.search(value)]
    found = [item for item in results if isinstance(item, dict) and isinstance(item.get("value"), dict)]
    shapes: tuple[Shape, ...] = ()
    try:
        shapes = tuple(_shapes(found, number)) if not problem else ()
    except (ValueError, TypeError, LookupError, OverflowError) as error:
        problem = f"task {number}: {error}"
    size = next(
        ((float(i["original_width"]), float(i["original_height"])) for i in found if i.get("original_width")), None
    )
    return Entry((*written, *ways), shapes, size, parts=True, problem=problem, ignore=ignore)


def _shapes(results: list[dict[str, Any]], number: int) -> Iterator[Shape]:
    for i, item in enumerate(results, 1):
        value = item["value"]
        names = next((value[key] for key in _LABELS if isinstance(value.get(key), list)), None)
        if names is None and item.get("type") in ("choices", "textarea", "rating", "rectangle", "polygon", "ellipse"):
            continue  # of the whole picture, or the shape that comes again with its label
        where = f"task {number} object {i}"
        if not names and "keypointlabels" in value:
            continue
        if not names:
            raise ValueError(f"{where} has no label")
        if "rle" in value:
            yield _brush(item, str(names[0]), where)
            continue
        xyxy, ring = _corners(value, float(item.get("original_width") or 1), float(item.get("original_height") or 1))
        outlined = ring and ("points" in value or "radiusX" in value or value.get("rotation"))
        outline = Outline((tuple(v for point in ring for v in point),)) if outlined else None
        yield Shape(str(names[0]), xyxy, where, outline=outline)


def _corners(value: dict[str, Any], width: float, height: float) -> tuple[Corners, tuple[tuple[float, ...], ...]]:
    """The box in parts of the picture, and the points that it is around."""
    angle = math.radians(float(value.get("rotation") or 0))
    ring: tuple[tuple[float, ...], ...]
    if "points" in value:
        ring = tuple((float(x) / 100, float(y) / 100) for x, y in value["points"])
    elif "radiusX" in value:
        cx, cy, rx, ry = (float(value[key]) / 100 for key in ("x", "y", "radiusX", "radiusY"))
        ring = _turned(disc(cx, cy, rx, ry), (cx, cy), angle, width, height)
    elif {"x", "y", "width", "height"} <= set(value):
        x, y, w, h = (float(value[key]) / 100 for key in ("x", "y", "width", "height"))
        if not angle:
            return (x, y, x + w, y + h), ()
        ring = _turned(((x, y), (x + w, y), (x + w, y + h), (x, y + h)), (x, y), angle, width, height)
    else:
        return UNUSABLE, ()
    return around(ring), ring


def _brush(item: dict[str, Any], name: str, where: str) -> Shape:
    """What a brush went over, and the box around, in parts of the picture."""
    height, width = int(item.get("original_height") or 0), int(item.get("original_width") or 0)
    rle = item["value"]["rle"]
    mask = brushed(rle, height, width) if isinstance(rle, list) else None
    box = None if mask is None else box_of_pixels(mask)
    if mask is None or box is None:
        return Shape(name, UNUSABLE, where)
    x1, y1, x2, y2 = box
    xyxy = (x1 / width, y1 / height, x2 / width, y2 / height)
    return Shape(name, xyxy, where, None, False, Outline.of_mask(mask), "{brush}, taken as the box around")


def _turned(
    ring: tuple[tuple[float, ...], ...], about: tuple[float, float], angle: float, width: float, height: float
) -> tuple[tuple[float, ...], ...]:
    """Points in parts of a picture, turned by an angle that is meant in its pixels."""
    c, s = math.cos(angle), math.sin(angle)
    moved = []
    for x, y in ring:
        dx, dy = (x - about[0]) * width, (y - about[1]) * height
        moved.append((about[0] + (dx * c - dy * s) / width, about[1] + (dx * s + dy * c) / height))
    return tuple(moved)


FORMAT = Format("label studio", frozenset({".json", ".csv"}), _fits, _read, "Label Studio's JSON or CSV")
