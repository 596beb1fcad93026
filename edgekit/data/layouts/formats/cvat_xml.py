"""CVAT's own XML, "for images 1.1" and "for video 1.1".

Format: docs.cvat.ai/docs/dataset_management/formats/format-cvat.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from edgekit.data.drawn_mask import Outline
from edgekit.data.layouts.files.entry import UNUSABLE, Entry, Format, Read, Shape, around, disc, ordered, turned
from edgekit.data.layouts.files.packed import MOST, placed
from edgekit.reading.limits import MB
from edgekit.reading.xml_ import LINE, read_xml

_LARGEST = 128 * MB
_ROOT = re.compile(rb"<annotations\b")
_SHAPES = ("box", "polygon", "polyline", "points", "ellipse", "mask", "cuboid", "skeleton")


def _fits(file: Path, head: bytes) -> bool:
    return _ROOT.search(head[:4096]) is not None and any(b"<" + tag in head for tag in (b"image ", b"track ", b"meta>"))


def _read(file: Path, root: Path) -> Read:
    tree = read_xml(file, _LARGEST, _SHAPES)
    if tree.tag != "annotations":
        raise ValueError(f"<{tree.tag}>, not <annotations>")
    names = [label.findtext("name") or "" for label in tree.iterfind("meta//labels/label")]
    entries = [_image(image) for image in tree.iterfind("image")]
    return Read((*entries, *_frames(tree)), tuple(dict.fromkeys(name.strip() for name in names if name.strip())))


def _image(image: Element) -> Entry:
    size = _size(image)
    shapes = tuple(_shape(item, item.get("label", ""), size) for item in image if item.tag in _SHAPES)
    subset = image.get("subset", "")
    return Entry((image.get("name", ""),), shapes, size, "" if subset.casefold() == "default" else subset.casefold())


def _frames(tree: Element) -> Iterator[Entry]:
    """The frames of a video: of each the objects of all tracks that are not outside."""
    found: dict[int, list[Shape]] = {}
    size = tree.find("meta//original_size")
    stated = None
    if size is not None:
        stated = float(size.findtext("width") or 0), float(size.findtext("height") or 0)
    for track in tree.iterfind("track"):
        for item in (item for item in track if item.tag in _SHAPES):
            mine = found.setdefault(int(item.get("frame", "0")), [])
            if item.get("outside") != "1":
                mine.append(_shape(item, track.get("label", ""), stated))
    for frame, shapes in sorted(found.items()):
        yield Entry((f"#{frame}",), tuple(shapes), stated)


def _size(image: Element) -> tuple[float, float] | None:
    width, height = image.get("width"), image.get("height")
    return (float(width), float(height)) if width and height else None


def _shape(item: Element, name: str, size: tuple[float, float] | None) -> Shape:
    where, kind = f"line {item.get(LINE)}", item.tag
    if not name.strip():
        raise ValueError(f"{where}: an object that has no label")
    ring: tuple[tuple[float, ...], ...] = ()
    xyxy = UNUSABLE
    if kind == "box":
        xyxy = ordered(*(item.get(key) for key in ("xtl", "ytl", "xbr", "ybr")))
        if angle := float(item.get("rotation", "0")):
            x1, y1, x2, y2 = xyxy
            ring = turned((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1, math.radians(angle))
    elif kind in ("polygon", "polyline"):
        ring = tuple(tuple(float(v) for v in pair.split(",")) for pair in item.get("points", "").split(";") if pair)
    elif kind == "ellipse":
        ring = disc(*(float(item.get(key, "nan")) for key in ("cx", "cy", "rx", "ry")))
    elif kind == "mask":
        return _mask(item, name.strip(), where, size)
    elif kind == "cuboid":
        ends = [
            (item.get(f"x{end}"), item.get(f"y{end}"))
            for end in ("tl1", "bl1", "tr1", "br1", "tl2", "bl2", "tr2", "br2")
        ]
        xyxy = around(ends)  # type: ignore[arg-type]
    outline = Outline((tuple(v for point in ring for v in point),)) if len(ring) > 2 and kind != "polyline" else None
    note = "" if kind == "box" and not ring else f"{{{kind}}}, taken as the box around"
    return Shape(name.strip(), around(ring) if ring else xyxy, where, outline=outline, note=note)


def _mask(item: Element, name: str, where: str, size: tuple[float, float] | None) -> Shape:
    """CVAT's runs go along the rows of the mask's own box, 0 first."""
    try:
        left, top, width, height = (int(float(item.get(key, "nan"))) for key in ("left", "top", "width", "height"))
        runs = [int(v) for v in item.get("rle", "").split(",") if v.strip()]
    except (ValueError, OverflowError):
        return Shape(name, UNUSABLE, where)
    xyxy = (float(left), float(top), float(left + width), float(top + height))
    outline = None
    if min(runs, default=-1) >= 0 and sum(runs) == width * height <= MOST and min(width, height) > 0:
        part = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
        whole = placed(part, left, top, size)
        outline = None if whole is None else Outline.of_mask(whole)
    return Shape(name, xyxy, where, outline=outline, note="{mask}, taken as the box around")


FORMAT = Format("cvat", frozenset({".xml"}), _fits, _read, "CVAT's annotations.xml")
