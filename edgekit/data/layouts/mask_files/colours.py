"""Masks in colours: which colour is which class, by a table beside them or by Pascal VOC's own colours.

Tables: `name,r,g,b` (class_dict.csv), `R G B name` (CamVid's label_colors.txt), `name:r,g,b:..` (CVAT's labelmap.txt).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgekit.data.names import plain
from edgekit.errors import DataError, PictureError
from edgekit.reading import read_text
from edgekit.reading.limits import SETTINGS
from edgekit.vision.segmentation.png import read_colours

_TABLES = re.compile(r"(?i).*(class_?dict|colou?rs?(_?map)?|label_?map|palette).*\.(csv|txt)")
_RGB = re.compile(r"(?<![\d.])(\d{1,3})[\s,;]+(\d{1,3})[\s,;]+(\d{1,3})(?![\d.])")
_HEX = re.compile(r"#?\b([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})\b")


@dataclass(frozen=True)
class Colours:
    """The number of each colour (red x 65536 + green x 256 + blue; none where masks are numbers), the name of each
    number, and where they stand."""

    numbers: dict[int, int]
    names: dict[int, str]
    said: str


def colours_of(folders: Sequence[Path], masks: Sequence[Path]) -> Colours | None:
    """The first table in `folders` that has all colours of these masks, else VOC's colours where they do; or None.

    Masks of numbers are in colours too where they have a palette: a table that fits it has the say.
    """
    tables = [file for folder in folders for file in sorted(folder.iterdir()) if _TABLES.fullmatch(file.name)]
    tried = [table for file in dict.fromkeys(tables) if (table := _read(file)) is not None]
    if not tried and not any(_in_colours(mask) for mask in masks[:4]):
        return None
    seen: set[int] = set()
    for mask in masks:
        seen |= set(np.unique(read_colours(mask)).tolist())
    fitting = next((table for table in tried if seen <= set(table.numbers)), None)
    if fitting is not None:
        return fitting
    if not any(_in_colours(mask) for mask in masks[:4]):
        return Colours({}, tried[0].names, tried[0].said)  # numbers, in the table's order
    voc = Colours({_voc(i): i for i in range(256)}, {}, "Pascal VOC's colours")
    if seen <= set(voc.numbers) and len(seen) > 1:
        return voc
    unknown = sorted(seen - set(tried[0].numbers)) if tried else sorted(seen)
    raise DataError(
        f"The masks in {masks[0].parent} have colours that no class has.",
        got=", ".join(f"{c >> 16} {c >> 8 & 255} {c & 255}" for c in unknown[:5])
        + (f" and {len(unknown) - 5} more" if len(unknown) > 5 else "")
        + (f", not in {tried[0].said}" if tried else ""),
        expected="a class_dict.csv with name,r,g,b beside the masks, with every colour in them",
        fix="colours between those of classes are blurred edges: write masks as PNG, without smoothing",
    )


def _in_colours(mask: Path) -> bool:
    try:
        packed = read_colours(mask, palette=False)
    except PictureError:
        return False
    return bool(((packed >> 16 != (packed >> 8 & 255)) | (packed & 255 != (packed >> 8 & 255))).any())


def _read(file: Path) -> Colours | None:
    try:
        lines = read_text(file, SETTINGS).splitlines()
    except (OSError, ValueError):
        return None
    numbers: dict[int, int] = {}
    names: dict[int, str] = {}
    for line in lines:
        found = _RGB.search(line)
        values = [int(v) for v in found.groups()] if found else []
        if found is None and (found := _HEX.search(line)) is not None:
            values = [int(v, 16) for v in found.groups()]
        if found is None or line.lstrip().startswith("# ") or max(values) > 255:
            continue
        name = plain((line[: found.start()] + " " + line[found.end() :]).strip(" \t:;,\"'"))
        if name:
            numbers.setdefault(values[0] << 16 | values[1] << 8 | values[2], len(names))
            names[len(names)] = name
    return Colours(numbers, names, file.name) if numbers else None


def _voc(index: int) -> int:
    """Colour of a class in VOC's devkit (VOClabelcolormap.m): the bits of the index spread over red, green and blue."""
    rgb = [0, 0, 0]
    for bit in range(8):
        for channel in range(3):
            rgb[channel] |= (index >> 3 * bit + channel & 1) << 7 - bit if 3 * bit + channel < 8 else 0
    return rgb[0] << 16 | rgb[1] << 8 | rgb[2]
