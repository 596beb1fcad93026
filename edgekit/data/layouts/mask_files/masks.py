"""Masks of class numbers: images/x.jpg and masks/x.png, of one set or of its splits, or Pascal VOC's SegmentationClass.

Numbers are those of the file: grey levels, or places in a palette. `names` says which class each of them is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.data.layouts.annotations import choose_split
from edgekit.data.layouts.mask_files.names import numbers_of
from edgekit.data.layouts.split_folders import subfolders
from edgekit.data.mask_file import MaskFile
from edgekit.data.names import ALL, plain, split_of
from edgekit.data.orientation import picture_size
from edgekit.data.pictures import left_out
from edgekit.data.sample import Dataset, Sample
from edgekit.errors import DataError, PictureError
from edgekit.progress import track
from edgekit.reading import read_text
from edgekit.reading.limits import LIST
from edgekit.screen import some
from edgekit.vision.clutter import clutter_note, is_clutter
from edgekit.vision.find import scan
from edgekit.vision.image import picture_problem
from edgekit.vision.segmentation.png import read_values

_PICTURES = ("images", "image", "imgs", "img", "jpegimages", "pictures", "photos")
_MASKS = ("masks", "mask", "segmentationclass", "segmentations", "annotations", "labels")
_ENDS = ("", "_mask", ".mask", "-mask", "_label", "_seg")  # what stands behind a picture's name in its mask's
_LOOKED_INTO = 32  # masks that are read to see which numbers there are


@dataclass(frozen=True)
class Pair:
    """A folder of pictures and the one of their masks; `listed`: the names of the pictures, where a list says them."""

    pictures: Path
    masks: Path
    listed: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Found:
    """A picture with a mask, and what it is called."""

    picture: Path
    name: str
    mask: MaskFile


def is_masks(path: Path) -> bool:
    """Whether the folder `path` has pictures and masks of theirs in folders of known names, its own or its splits'."""
    return bool(_pairs(path))


def load_masks(path: Path, classes: Sequence[str] | None = None, split: str | None = None) -> Dataset:
    """The pictures of one split that have a mask.

    Args:
        path: the folder with images/ and masks/, or with splits that have them, inside or around (`train/images`,
            `images/train`), or with JPEGImages/, SegmentationClass/ and lists in ImageSets/Segmentation/.
        classes: the model's. Without them those of the set's classes.txt; without either there are only numbers.
        split: `val` and the like, or "all". Without it the held-out one: val, else test; without splits all.

    Raises:
        DataError: no such split, no picture with a mask, or a number that is no class of the model.

    Pictures without a mask, those whose mask has another size, and files that cannot be read are left out and noted.
    """
    pairs = _pairs(path)
    notes: tuple[str, ...] = ()
    if list(pairs) == [""] or split == ALL:
        if split not in (None, ALL):
            raise DataError(f"{path} has no splits.", got=f"split {split!r}", expected="no split, or a path of its own")
        chosen = list(pairs.values())
    else:
        name = choose_split(list(pairs), split, path)
        chosen = [pairs[name]]
        left = [other for other in pairs if other != name]
        if split is None:
            notes = (f"{name} was taken" + (f", beside it left out: {some(left)}" if left else ""),)
    found: list[Found] = []
    said: dict[str, list[str]] = {}
    for pair in chosen:
        some_found, more = _found(path, pair, said)
        found += some_found
        notes += more
    notes += tuple(f"{len(where)} {what}: {some(where)}" for what, where in said.items())
    if not found:
        raise DataError(
            f"None of the pictures in {path} has a mask that can be used.",
            got="; ".join(notes) or "no pictures",
            expected="a PNG of class numbers for each picture, of its name and size",
        )
    folders = list(dict.fromkeys([path, *(pair.masks for pair in chosen), *(pair.masks.parent for pair in chosen)]))
    numbers = numbers_of(folders, _numbers(found, path), classes)
    told: dict[str, Any] = {"classes": numbers.table, "names": numbers.names, "proposal": numbers.proposal}
    samples = tuple(Sample(one.picture, None, None, one.name, mask=replace(one.mask, **told)) for one in found)
    return Dataset(samples, numbers.classes, "masks", (*notes, *numbers.notes))


def _pairs(path: Path) -> dict[str, Pair]:
    """The folders of each split, or of all under ""."""
    inside = {folder.name.casefold(): folder for folder in subfolders(path)}
    pictures = [inside[name] for name in _PICTURES if name in inside]
    masks = [inside[name] for name in _MASKS if name in inside]
    for one in pictures:
        for other in masks:
            splits = {p.name: p for p in subfolders(one) if split_of(p.name)}
            theirs = {p.name: p for p in subfolders(other) if split_of(p.name)}
            if set(splits) & set(theirs):
                pairs = {name: Pair(splits[name], theirs[name]) for name in splits if name in theirs}
                return {name: pair for name, pair in pairs.items() if _belong(pair)}
            if _belong(Pair(one, other)):
                return _listed(path, Pair(one, other)) or {"": Pair(one, other)}
    found = {}
    for folder in inside.values():
        if split_of(folder.name) and (pair := _pairs(folder).get("")) is not None:
            found[folder.name] = pair
    return found


def _belong(pair: Pair) -> bool:
    """Whether a mask is called as one of the pictures is; a JPEG is none."""
    names = {_key(p, pair.pictures) for p in scan(pair.pictures).pictures}
    masks = [p for p in scan(pair.masks).pictures if p.suffix.lower() not in (".jpg", ".jpeg")]
    return any(_key(mask, pair.masks).removesuffix(end) in names for mask in masks for end in _ENDS)


def _listed(path: Path, pair: Pair) -> dict[str, Pair]:
    """Pascal VOC's lists of pictures that have masks."""
    folder = path / "ImageSets" / "Segmentation"
    files = sorted(p for p in folder.glob("*.txt") if not is_clutter(p.name)) if folder.is_dir() else []
    found = {}
    for file in files:
        try:
            rows = [plain(row) for row in read_text(file, LIST).splitlines()]
        except (OSError, ValueError) as error:
            raise DataError(f"{file} cannot be read.", got=str(error), expected="one name a line") from error
        found[file.stem] = Pair(pair.pictures, pair.masks, tuple(row for row in rows if row))
    return found


def _found(root: Path, pair: Pair, said: dict[str, list[str]]) -> tuple[list[Found], tuple[str, ...]]:
    pictures, others = scan(pair.pictures), scan(pair.masks)
    masks = {_key(p, pair.masks): p for p in others.pictures}
    listed = None if pair.listed is None else set(pair.listed)
    found, used, without = [], set(), []
    for picture in track(pictures.pictures, "looking at masks"):
        key, name = _key(picture, pair.pictures), picture.relative_to(root).as_posix()
        if listed is not None and key not in listed:
            continue
        mask = next((masks[key + end] for end in _ENDS if key + end in masks), None)
        if mask is None:
            without.append(picture)
            continue
        used.add(mask)
        if (problem := picture_problem(picture) or picture_problem(mask)) is not None:
            said.setdefault("unreadable, left out", []).append(f"{name} ({problem})")
            continue
        size, own = picture_size(picture), picture_size(mask)
        turned = size.orientation >= 5 and (own.width, own.height) == (size.height, size.width) != (
            own.height,
            own.width,
        )
        if not turned and (own.width, own.height) != (size.width, size.height):
            text = f"{name} ({size.width} x {size.height}, its mask {own.width} x {own.height})"
            said.setdefault("left out, with a mask of another size", []).append(text)
            continue
        found.append(Found(picture, name, MaskFile(mask, orientation=size.orientation if turned else 1)))
    notes = clutter_note([*pictures.clutter, *others.clutter], root)
    notes += left_out(without, root, "without a mask")
    if listed is None:
        notes += left_out([p for p in others.pictures if p not in used], root, "masks of no picture")
    return found, notes


def _key(file: Path, folder: Path) -> str:
    return plain(file.relative_to(folder).with_suffix("").as_posix())


def _numbers(found: Sequence[Found], root: Path) -> list[int]:
    """The numbers in some of the masks, spread evenly."""
    step = max(1, len(found) // _LOOKED_INTO)
    seen: set[int] = set()
    for one in found[::step]:
        try:
            seen.update(np.unique(read_values(one.mask.path)).tolist())
        except PictureError as error:
            raise DataError(
                f"{root} has masks that cannot be used.", got=str(error), expected="PNGs of class numbers"
            ) from error
    return sorted(seen)
