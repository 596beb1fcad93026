"""Folders of pictures and of their masks, as people call and place them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgekit.data.layouts.split_folders import subfolders
from edgekit.data.names import plain, split_of
from edgekit.errors import DataError, PictureError
from edgekit.reading import read_text
from edgekit.reading.limits import LIST
from edgekit.vision.clutter import is_clutter
from edgekit.vision.find import scan
from edgekit.vision.segmentation.png import read_values

_PICTURES = ("images", "image", "imgs", "img", "jpegimages", "pictures", "photos", "frames", "leftimg8bit")
_MASKS = ("masks", "mask", "segmentationclass", "segmentations", "annotations", "labels", "gtfine", "gt", "annot",
          "groundtruth", "ground_truth", "seg")  # fmt: skip
ENDS = ("", "_mask", ".mask", "-mask", "_masks", "_label", "_labels", "_seg", "_gt", "_segmentation", "_L", "_P",
        "_gtFine_labelIds", "_gtFine_labelTrainIds")  # what stands behind a picture's name in its mask's  # fmt: skip
_BESIDE_ENDS = ("_mask", ".mask", "-mask", "_masks", "_seg", "_segmentation", "_label")  # the same, in one folder
_PICTURE_ENDS = ("_leftImg8bit", "_sat", "_image", "_img")  # and what behind a picture's own
_PICTURE_BEGINS, _MASK_BEGINS = ("image", "img", "picture", "frame", "photo"), ("mask", "label", "seg", "gt")
_FILLERS = frozenset({"original", "raw", "input", "rgb", "png", "jpg", "jpeg", "all", "class", "binary"})
_BINARY = ({0, 1}, {0, 255})
_WORD = re.compile(r"[\s_.-]+")
_GLUED = re.compile(r"(?i)^(train|val|valid|test)(annot|masks?|labels?|gt)$")


@dataclass(frozen=True)
class Pair:
    """A folder of pictures and the one of their masks.

    Attributes:
        listed: the names of the pictures, where a list says them.
        parts: folders inside `masks` that have a mask of one class of each picture, called as the class.
    """

    pictures: Path
    masks: Path
    listed: tuple[str, ...] | None = None
    parts: tuple[Path, ...] = ()


def pairs(path: Path) -> dict[str, Pair]:
    """The folders of each split, or of all under ""."""
    inside = subfolders(path)
    pictures, masks = _called(inside, _PICTURES), _called(inside, _MASKS)
    for one in pictures:
        for mask in masks:
            if parts := _parts(one, mask):
                return {"": Pair(one, mask, parts=parts)}
            for other in (mask, *subfolders(mask)):
                splits = {p.name: p for p in subfolders(one) if split_of(p.name)}
                theirs = {p.name: p for p in subfolders(other) if split_of(p.name)}
                if set(splits) & set(theirs):
                    both = [name for name in splits if name in theirs]
                    found = {n: Pair(splits[n], theirs[n], parts=_parts(splits[n], theirs[n])) for n in both}
                    return {name: pair for name, pair in found.items() if pair.parts or _belong(pair)}
                if _belong(Pair(one, other)):
                    return _listed(path, Pair(one, other)) or {"": Pair(one, other)}
    if found := _called_alike(path):
        return found
    if _belong(Pair(path, path)):
        return {"": Pair(path, path)}
    found = {}
    for folder in inside:
        if split_of(folder.name) and (pair := pairs(folder).get("")) is not None:
            found[folder.name] = pair
    return found


def _called(folders: Sequence[Path], names: Sequence[str]) -> list[Path]:
    """Those of the folders that have one of the names, also in two words or beside a filler (`Ground Truth`,
    `original images`, `masks_png`), in the names' order."""
    found = []
    for folder in folders:
        words = _WORD.split(plain(folder.name).casefold())
        ways = ("".join(words), "_".join(words), *(word for word in words if set(words) - {word} <= _FILLERS))
        places = [names.index(way) for way in ways if way in names]
        if places:
            found.append((min(places), folder))
    return [folder for _, folder in sorted(found)]


def _parts(pictures: Path, masks: Path) -> tuple[Path, ...]:
    """The folders in `masks` that have black and white masks of these pictures, where several have."""
    inside = [folder for folder in subfolders(masks) if not split_of(folder.name)]
    if len(inside) < 2 or _belong(Pair(pictures, masks)):
        return ()
    found = [folder for folder in inside if _belong(Pair(pictures, folder)) and _is_binary(folder)]
    return tuple(found) if len(found) > 1 else ()


def _is_binary(folder: Path) -> bool:
    try:
        return all(any(set(np.unique(read_values(p)).tolist()) <= two for two in _BINARY) for p in masks_in(folder)[:4])
    except PictureError:
        return False


def _called_alike(path: Path) -> dict[str, Pair]:
    """`train` and `trainannot` (CamVid), `val` and `val_labels`, `images_test` and `masks_test`."""
    roles: dict[str, dict[bool, Path]] = {}
    for folder in subfolders(path):
        name = _GLUED.sub(r"\1_\2", plain(folder.name).casefold())
        words = _WORD.split(name)
        is_mask = any(word in _MASKS for word in words)
        core = "_".join(word for word in words if word not in _MASKS and word not in _PICTURES)
        if core:
            roles.setdefault(core, {}).setdefault(is_mask, folder)
    found = {core: Pair(both[False], both[True]) for core, both in roles.items() if len(both) == 2}
    found = {core: pair for core, pair in found.items() if _belong(pair)}
    if len(found) == 1 and not split_of(next(iter(found))):
        return {"": next(iter(found.values()))}
    return {split_of(core) or core: pair for core, pair in found.items()}


def key_of(file: Path, folder: Path) -> str:
    """What a picture and its mask have in common, but for an end of `ENDS`."""
    return plain(file.relative_to(folder).with_suffix("").as_posix())


def mask_names(key: str, *, apart: bool) -> Iterator[str]:
    """What the mask of a picture may be called; `apart`: in another folder."""
    bare = [key.removesuffix(end) for end in _PICTURE_ENDS if key.endswith(end)]
    for base in (key, *bare):
        yield from (base + end for end in (ENDS if apart else _BESIDE_ENDS))
    if not apart:
        return
    folder, slash, name = key.rpartition("/")
    lower = name.casefold()
    rests = [name[len(word) :] for word in _PICTURE_BEGINS if lower.startswith(word)]
    for rest in (*rests, f"_{name}", f"-{name}"):  # image_7 and mask_7; 7 and mask_7
        yield from (folder + slash + word + rest for word in _MASK_BEGINS)


def _is_mask_of(key: str, keys: set[str]) -> bool:
    """Whether, of pictures and masks in one folder, this is the mask of another."""
    return any(key.endswith(end) and key.removesuffix(end) in keys for end in _BESIDE_ENDS)


def _belong(pair: Pair) -> bool:
    """Whether a mask is called as one of the pictures is."""
    apart = pair.pictures != pair.masks
    if not apart and not any(p.suffix for end in _BESIDE_ENDS for p in pair.masks.glob(f"*{end}.*")):
        return False
    found = pictures_of(pair)
    masks = {key_of(p, pair.masks) for p in masks_in(pair.masks)}
    keys = [key_of(p, pair.pictures) for p in found]
    with_mask = sum(any(name in masks for name in mask_names(key, apart=apart)) for key in keys)
    return with_mask > 0 and (apart or with_mask * 2 >= len(keys))


def masks_in(folder: Path) -> list[Path]:
    """The pictures in a folder of masks; GIFs too, which are no pictures elsewhere."""
    found = scan(folder)
    return [*found.pictures, *(p for p in found.others if p.suffix.lower() == ".gif")]


def pictures_of(pair: Pair) -> list[Path]:
    """The pictures of a pair; of one folder for both those directly in it that are no masks of others."""
    found = scan(pair.pictures).pictures
    if pair.pictures != pair.masks:
        return found
    keys = {key_of(p, pair.pictures) for p in found}
    return [p for p in found if p.parent == pair.pictures and not _is_mask_of(key_of(p, pair.pictures), keys)]


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
