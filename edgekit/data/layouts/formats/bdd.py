"""BDD100K's JSON, which Scalabel writes too: frames with labels of a category and a `box2d`.

Format: doc.bdd100k.com/format.html (Yu et al. 2020).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekit.data.layouts.files.entry import Entry, Format, Read, Shape, ordered
from edgekit.reading import read_json
from edgekit.reading.limits import COCO


def _fits(file: Path, head: bytes) -> bool:
    return b'"box2d"' in head and b'"category"' in head


def _read(file: Path, root: Path) -> Read:
    data = read_json(file, COCO, exact=False)
    if isinstance(data, dict):
        data = data["frames"] if isinstance(data.get("frames"), list) else [data]
    return Read([entry for item in data if isinstance(item, dict) for entry in _entries(item)])


def _entries(item: dict[str, Any]) -> list[Entry]:
    given = item.get("labels", item.get("objects"))
    if not isinstance(given, list):
        return [Entry((str(item.get("name", "")),), problem="it has no list of labels")]
    labels = [label for label in given if isinstance(label, dict)]
    boxed = [label for label in labels if label.get("box2d")]  # lanes and areas have none and are no objects
    shapes = tuple(_shape(label, i) for i, label in enumerate(boxed, 1))
    return [Entry((str(item.get("name", "")),), shapes)]


def _shape(label: dict[str, Any], number: int) -> Shape:
    box = label["box2d"]
    crowd = bool((label.get("attributes") or {}).get("crowd"))
    xyxy = ordered(*(box.get(key) for key in ("x1", "y1", "x2", "y2")))
    return Shape(str(label["category"]), xyxy, f"label {number}", ignored=crowd)


FORMAT = Format("bdd", frozenset({".json"}), _fits, _read, "BDD100K's JSON")
