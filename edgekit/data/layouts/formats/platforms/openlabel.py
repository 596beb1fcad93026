"""ASAM OpenLABEL: frames with objects, whose `bbox` is the box's centre, width and height in pixels.

Format: asam.net/standards/detail/openlabel, 1.0, "bbox"; one with turn (`rbbox`) has an angle in radians behind it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgekit.data.layouts.files.entry import UNUSABLE, Entry, Format, Read, Shape, corners, outlined, pairs, turned
from edgekit.reading import read_json
from edgekit.reading.limits import COCO

_MARKS = re.compile(rb'"openlabel"\s*:\s*\{')


def _fits(file: Path, head: bytes) -> bool:
    return _MARKS.search(head) is not None


def _read(file: Path, root: Path) -> Read:
    data = read_json(file, COCO, exact=False)["openlabel"]
    known = data.get("objects") or {}
    frames = data.get("frames")
    if frames is None:  # one picture, its objects at the top
        uris = [str(uri) for uri in (data.get("resources") or {}).values()]
        return Read([Entry((*uris, ""), tuple(_shapes(known, known, "")))])
    return Read([entry for key, frame in frames.items() for entry in _entries(key, frame, known)])


def _entries(key: str, frame: dict[str, Any], known: dict[str, Any]) -> Iterator[Entry]:
    """A frame's pictures: one, or one of each camera."""
    more, mine = frame.get("frame_properties") or {}, frame.get("objects") or {}
    streams = {name: str(stream["uri"]) for name, stream in (more.get("streams") or {}).items() if stream.get("uri")}
    if len(streams) > 1:
        for name, uri in streams.items():
            yield Entry((uri,), tuple(_shapes(mine, known, name)))
        return
    named = [str(more[key]) for key in ("file_name", "filename", "uri") if more.get(key)]
    yield Entry((*streams.values(), *named, f"#{key}"), tuple(_shapes(mine, known, "")))


def _shapes(mine: dict[str, Any], known: dict[str, Any], camera: str) -> Iterator[Shape]:
    for uid, one in mine.items():
        name = str((known.get(uid) or one).get("type") or one.get("type") or "").strip()
        data = one.get("object_data") or {}
        for kind in ("bbox", "rbbox", "poly2d"):
            for item in data.get(kind) or ():
                if camera and item.get("coordinate_system") not in (camera, None):
                    continue
                if not name:
                    raise ValueError(f"object {uid} has no type")
                yield _shape(name, kind, item, f"object {uid}")


def _shape(name: str, kind: str, item: dict[str, Any], where: str) -> Shape:
    numbers = [float(v) for v in item["val"]]
    if kind == "bbox" and len(numbers) == 4:
        cx, cy, w, h = numbers
        return Shape(name, corners(cx - w / 2, cy - h / 2, w, h), where)
    if kind == "rbbox" and len(numbers) == 5:
        return outlined(name, turned(*numbers), where, "turned box")
    return outlined(name, pairs(numbers), where) if kind == "poly2d" else Shape(name, UNUSABLE, where)


FORMAT = Format("openlabel", frozenset({".json"}), _fits, _read, "ASAM OpenLABEL")
