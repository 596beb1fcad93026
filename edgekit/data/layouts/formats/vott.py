"""VoTT's JSON: all assets in one export, or one file an asset. Format: github.com/microsoft/VoTT, "export"."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from edgekit.data.layouts.files.entry import Entry, Format, Read, Shape, around, corners
from edgekit.reading import read_json
from edgekit.reading.limits import LIST

_MARKS = re.compile(rb'"asset"\s*:\s*\{')


def _fits(file: Path, head: bytes) -> bool:
    return _MARKS.search(head) is not None and b'"regions"' in head


def _read(file: Path, root: Path) -> Read:
    data = read_json(file, LIST, exact=False)
    assets = data["assets"].values() if isinstance(data.get("assets"), dict) else [data]
    tags = data.get("tags")
    names = tuple(str(tag["name"]) for tag in tags) if isinstance(tags, list) else ()
    return Read([_entry(item) for item in assets if isinstance(item, dict) and "asset" in item], names)


def _entry(item: dict[str, Any]) -> Entry:
    asset = item["asset"]
    size = asset.get("size") or {}
    stated = (float(size["width"]), float(size["height"])) if {"width", "height"} <= set(size) else None
    ways = tuple(str(asset[key]) for key in ("name", "path") if asset.get(key))
    return Entry(ways, tuple(_shape(r, i) for i, r in enumerate(item.get("regions") or (), 1)), stated)


def _shape(region: dict[str, Any], number: int) -> Shape:
    if not region.get("tags"):
        raise ValueError(f"region {number} has no tag")
    box = region.get("boundingBox") or {}
    xyxy = corners(*(box.get(key) for key in ("left", "top", "width", "height")))
    if not box:
        xyxy = around((p.get("x"), p.get("y")) for p in region.get("points") or ())
    return Shape(str(region["tags"][0]), xyxy, f"region {number}")


FORMAT = Format("vott", frozenset({".json"}), _fits, _read, "VoTT's JSON")
