"""Which split a picture is of: by a list of pictures, by the name of a label file, or by a folder's name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from edgekit.data.layouts.files.pictures import Pictures
from edgekit.data.names import plain, split_of
from edgekit.reading import is_file, read_text
from edgekit.reading.limits import LIST
from edgekit.vision.find import SUFFIXES

# what stands beside a split's name in those of folders and files; `train_images`, `instances_val2017`, `trainannot`
_BESIDE = re.compile(
    r"(?i)images?|imgs?|jpegimages|pictures|photos|frames|labels?|annotations?|annot|anno|ann|boxes|bbox|bboxes|instances|"
    r"masks?|obj|data|dataset|set|split|coco|voc|yolo|via|csv|json|xml|txt|createml|panoptic|objects?|detections?|export|"
    r"solution|gt|with|of|in|region|default"
)
_LIST = re.compile(r"(?i)(.*/)?(train|training|val|valid|validation|test|testing|trainval)\.(txt|lst|list)")
_GLUED = re.compile(r"(?i)(train|val|valid|test)(?=annot|images|labels|masks|img)")


def split_in(name: str) -> str:
    """The split that a folder's or a central label file's name says beside what is in it, or ""."""
    if split := split_of(name):
        return split
    text = _GLUED.sub(r"\1_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", plain(name)))
    words = [re.sub(r"\d+$", "", word) for word in re.split(r"[\s_.,()-]+", text)]
    words = [word for word in words if word]
    found = {split for word in words if (split := split_of(word))}
    others = [word for word in words if not split_of(word) and not _BESIDE.fullmatch(word)]
    return found.pop() if len(found) == 1 and not others else ""


def split_of_path(path: Path, root: Path, *, name_says: bool) -> str:
    """By the folders between `root` and a file, the innermost first; its own name only with `name_says`."""
    parts = path.relative_to(root).parts if path.is_relative_to(root) else ()
    named = [path.stem] if name_says else []
    return next((split for name in (*named, *reversed(parts[:-1])) if (split := split_in(name))), "")


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
        for pattern in patterns:
            for file in sorted(folder.glob(pattern)):
                return file
        if folder == root:
            return None
    return None
