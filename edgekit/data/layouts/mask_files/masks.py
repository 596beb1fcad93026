"""Masks of class numbers: images/x.jpg and masks/x.png, of one set or of its splits, or Pascal VOC's SegmentationClass.

Numbers are those of the file: grey levels, or places in a palette. `names` says which class each of them is; `colours`
which number a colour is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.data.layouts.annotations import choose_split
from edgekit.data.layouts.mask_files.colours import Colours, colours_of
from edgekit.data.layouts.mask_files.names import numbers_of
from edgekit.data.layouts.mask_files.pairs import Pair, key_of, mask_names, masks_in, pairs, pictures_of
from edgekit.data.layouts.mask_files.stacks import load_stacks
from edgekit.data.mask_file import MaskFile
from edgekit.data.names import ALL
from edgekit.data.orientation import picture_size
from edgekit.data.pictures import left_out
from edgekit.data.sample import Dataset, Sample
from edgekit.errors import DataError, PictureError
from edgekit.progress import track
from edgekit.screen import some
from edgekit.vision.clutter import clutter_note
from edgekit.vision.find import scan
from edgekit.vision.image import picture_problem
from edgekit.vision.segmentation.png import read_colours, read_values

_LOOKED_INTO = 32  # masks that are read to see which numbers there are


@dataclass(frozen=True)
class Found:
    """A picture with a mask, and what it is called."""

    picture: Path
    name: str
    mask: MaskFile


def is_masks(path: Path) -> bool:
    """Whether the folder `path` has pictures and masks of theirs in folders of known names, its own or its splits'."""
    return bool(pairs(path))


def load_masks(path: Path, classes: Sequence[str] | None = None, split: str | None = None) -> Dataset:
    """The pictures of one split that have a mask.

    Args:
        path: the folder with images/ and masks/, or with splits that have them, inside or around (`train/images`,
            `images/train`), or with JPEGImages/, SegmentationClass/ and lists in ImageSets/Segmentation/.
        classes: the model's. Without them those of the set's classes.txt; without either there are only numbers.
            With a folder of masks a class (`masks/bee`, `masks/hornet`) see `load_stacks`.
        split: `val` and the like, or "all". Without it the held-out one: val, else test; without splits all.

    Raises:
        DataError: no such split, no picture with a mask, or a number that is no class of the model.

    Pictures without a mask, those whose mask has another size, and files that cannot be read are left out and noted.
    """
    known = pairs(path)
    notes: tuple[str, ...] = ()
    if list(known) == [""] or split == ALL:
        if split not in (None, ALL):
            raise DataError(f"{path} has no splits.", got=f"split {split!r}", expected="no split, or a path of its own")
        chosen = list(known.values())
    else:
        name = choose_split(list(known), split, path)
        chosen = [known[name]]
        left = [other for other in known if other != name]
        if split is None:
            notes = (f"{name} was taken" + (f", beside it left out: {some(left)}" if left else ""),)
    if any(pair.parts for pair in chosen):
        return load_stacks(path, [pair for pair in chosen if pair.parts], classes, notes)
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
    step = max(1, len(found) // _LOOKED_INTO)
    masks = [one.mask.path for one in found[::step]]
    try:
        colours = colours_of(folders, masks)
        seen = _numbers(masks, colours)
    except PictureError as error:
        got = str(error)
        raise DataError(f"{path} has masks that cannot be used.", got=got, expected="PNGs of class numbers") from error
    numbers = numbers_of(folders, seen, classes, colours.names if colours else None)
    told: dict[str, Any] = {"classes": numbers.table, "names": numbers.names, "proposal": numbers.proposal}
    if colours and colours.numbers:
        told["colours"] = colours.numbers
        notes += (f"the masks are in colours, whose classes {colours.said} has",)
    elif any(mask.suffix.lower() in (".jpg", ".jpeg") for mask in masks):
        notes += ("masks are JPEGs of black and white, and cut at 128",)
    samples = tuple(Sample(one.picture, None, None, one.name, mask=replace(one.mask, **told)) for one in found)
    return Dataset(samples, numbers.classes, "masks", (*notes, *numbers.notes))


def _found(root: Path, pair: Pair, said: dict[str, list[str]]) -> tuple[list[Found], tuple[str, ...]]:
    pictures, others = scan(pair.pictures), scan(pair.masks)
    masks = {key_of(p, pair.masks): p for p in masks_in(pair.masks)}
    apart = pair.pictures != pair.masks
    listed = None if pair.listed is None else set(pair.listed)
    found, used, without = [], set(), []
    for picture in track(pictures_of(pair), "looking at masks"):
        key, name = key_of(picture, pair.pictures), picture.relative_to(root).as_posix()
        if listed is not None and key not in listed:
            continue
        mask = next((masks[way] for way in mask_names(key, apart=apart) if way in masks), None)
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
    if listed is None and apart:
        notes += left_out([p for p in others.pictures if p not in used], root, "masks of no picture")
    return found, notes


def _numbers(masks: Sequence[Path], colours: Colours | None) -> list[int]:
    """The numbers in these masks."""
    seen: set[int] = set()
    for mask in masks:
        if colours is not None and colours.numbers:
            seen.update(colours.numbers[c] for c in np.unique(read_colours(mask)).tolist())
        else:
            seen.update(np.unique(read_values(mask)).tolist())
    return sorted(seen)
