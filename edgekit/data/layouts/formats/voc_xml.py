"""Pascal VOC's XML wherever it lies: beside the pictures (LabelImg, Roboflow), or in annotations/."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from edgekit.data.drawn_mask import Outline
from edgekit.data.layouts.files.counted import NOTE, counted, moved
from edgekit.data.layouts.files.entry import Entry, Format, Read, Shape
from edgekit.data.layouts.voc import OUTLINED, corners, name_of, number_in, outline_of, read_annotation
from edgekit.reading.xml_ import LINE

_ROOT = re.compile(rb"<annotation\b")


def _fits(file: Path, head: bytes) -> bool:
    return _ROOT.search(head[:4096]) is not None


def _read(file: Path, root: Path) -> Read:
    tree = read_annotation(file)
    shapes = []
    for item in tree.iter("object"):
        if number_in(item, "deleted") == 1:  # LabelMe's page keeps what was taken back
            continue
        if not name_of(item):
            raise ValueError(f"line {item.get(LINE)}: an object that has no name")
        xyxy, kind = corners(item)
        points = outline_of(item)
        outline = Outline((tuple(v for point in points for v in point),)) if len(points) > 2 else None
        ignored = number_in(item, "difficult") == 1
        shapes.append(Shape(name_of(item), xyxy, f"line {item.get(LINE)}", None, ignored, outline, kind))
    width, height = (number_in(tree.find("size"), tag) for tag in ("width", "height"))
    written = tree.findtext("filename") or ""
    size = (width, height) if width > 0 and height > 0 else None
    return Read((Entry(("", written.strip()), tuple(shapes), size),))


def _settle(entries: list[Entry]) -> list[Entry]:
    """A set that was counted from 0."""
    boxes = ((shape.xyxy, entry.size) for entry in entries for shape in entry.shapes if shape.note != OUTLINED)
    zero = counted(boxes)
    return (
        entries
        if zero is None
        else [
            replace(
                entry,
                shapes=tuple(
                    shape
                    if shape.note == OUTLINED
                    else replace(shape, xyxy=moved(shape.xyxy, zero), note=shape.note or NOTE)
                    for shape in entry.shapes
                ),
            )
            for entry in entries
        ]
    )


FORMAT = Format("voc", frozenset({".xml"}), _fits, _read, "Pascal VOC's XML of each picture", each=True, settle=_settle)
