"""Lists of the pictures of a split, and the file of this or that name that is nearest to a label file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from edgekit.data.layouts.files.pictures import Pictures
from edgekit.data.names import split_of
from edgekit.reading import is_file, read_text
from edgekit.reading.limits import LIST
from edgekit.vision.find import SUFFIXES

_LIST = re.compile(r"(?i)(.*/)?(train|training|val|valid|validation|test|testing|trainval)\.(txt|lst|list)")


def lists_in(root: Path, others: Iterable[Path], pictures: Pictures) -> dict[str, list[Path]]:
    """The lists of pictures below `root`, by split: train.txt, ImageSets/Main/val.txt, or those that an obj.data names.

    A list is one where half of its first rows at least are pictures of the set. Of one split they are put together.
    """
    found: dict[str, list[Path]] = {}
    for split, file in _lists(root, others):
        try:
            rows = [row.strip() for row in read_text(file, LIST).splitlines()]
        except (OSError, ValueError):
            continue
        rows = [row for row in rows if row]
        known = [_picture(row, file, pictures) for row in rows[:20]]
        if not rows or sum(p is not None for p in known) * 2 < len(known):
            continue
        mine = [p for row in rows if (p := _picture(row, file, pictures)) is not None]
        held = found.setdefault(split, [])
        held += [p for p in dict.fromkeys(mine) if p not in set(held)]
    return found


def _lists(root: Path, others: Iterable[Path]) -> list[tuple[str, Path]]:
    files = [file for file in others if _LIST.fullmatch(file.relative_to(root).as_posix())]
    found = [(split_of(file.stem) or file.stem.casefold(), file) for file in files]
    for data in (file for file in others if file.suffix.lower() == ".data"):
        for key, value in darknet_data(data).items():
            split, name = split_of(key), value.replace("\\", "/").rpartition("/")[2]
            near = [f for f in others if f.name == name]
            if split and len(near) == 1:
                found = [(old, f) for old, f in found if f != near[0]] + [(split, near[0])]
    return found


def darknet_data(file: Path) -> dict[str, str]:
    """`key = value` of a Darknet .data file; {} for one that cannot be read."""
    try:
        rows = [row.split("#")[0].partition("=") for row in read_text(file, LIST).splitlines()]
    except (OSError, ValueError):
        return {}
    return {key.strip().lower(): value.strip() for key, equal, value in rows if equal}


def _picture(row: str, file: Path, pictures: Pictures) -> Path | None:
    """The picture of a row, which may have a label file or VOC's flag behind it."""
    cells = row.split()
    for text in dict.fromkeys((row, cells[0] if len(cells) > 1 else row)):
        clean = text if Path(text).suffix.lower() in SUFFIXES else text.removesuffix(".xml") + ".jpg"
        found = pictures.find((text, clean), file)
        if isinstance(found, Path):
            return found
    return None


def names_file(start: Path, root: Path, names: Sequence[str], patterns: Sequence[str] = ()) -> Path | None:
    """The file of one of these names in the folder of `start`, or the nearest one around it, up to `root`."""
    for folder in (start.parent, *start.parent.parents):
        for name in names:
            if is_file(folder / name):
                return folder / name
        for file in sorted(folder.iterdir()) if folder.is_dir() else ():  # Classes.txt, from where case means nothing
            if file.name.casefold() in names and is_file(file):
                return file
        for pattern in patterns:
            for file in sorted(folder.glob(pattern)):
                return file
        if folder == root:
            return None
    return None
