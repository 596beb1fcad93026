"""COCO: annotations/instances_<split>.json beside the split's pictures; also Roboflow's _annotations.coco.json.

Format: cocodataset.org/#format-data. Boxes are x y w h in continuous pixels; category ids have gaps and become
0, 1, 2, ... in the order of their ids.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from edgekit.data.layouts.annotations import Box, Collector, choose_split, unlisted
from edgekit.data.layouts.files.corners import corners, four
from edgekit.data.layouts.files.entry import sized
from edgekit.data.layouts.files.parts import root_of
from edgekit.data.layouts.files.pictures import Pictures
from edgekit.data.layouts.files.split_names import split_of_path
from edgekit.data.layouts.files.units import coco_to_pixels
from edgekit.data.names import ALL, existing, plain
from edgekit.data.orientation import Size, upright
from edgekit.data.sample import Dataset
from edgekit.errors import DataError
from edgekit.progress import track
from edgekit.reading import is_file, read_json
from edgekit.reading.limits import COCO, DIGITS
from edgekit.screen import some
from edgekit.vision.find import scan
from edgekit.vision.masks import mask_bounds

ROBOFLOW = "_annotations.coco.json"
_NOTE = "edgekit.note"  # of an annotation, set where it was read otherwise than it stands


def is_coco(path: Path) -> bool:
    """Whether the folder `path` holds instance files."""
    return bool(coco_files(path))


def coco_files(path: Path) -> dict[str, Path]:
    """The instance files of the folder `path` by split: `train` for instances_train2017.json or train/_annotations...

    Of several of one split (instances_val2014, instances_val2017) each keeps its whole name.
    """
    files = sorted((path / "annotations").glob("instances_*.json"))
    stems = [f.stem.removeprefix("instances_") for f in files]
    plain = [s.rstrip("0123456789") for s in stems]
    found = {p if plain.count(p) == 1 else s: f for s, p, f in zip(stems, plain, files, strict=True)}
    if (path / ROBOFLOW).is_file():
        found[path.name] = path / ROBOFLOW
    for file in sorted(path.glob(f"*/{ROBOFLOW}")):
        found[file.parent.name] = file
    return found


def load_coco(path: Path, classes: Sequence[str] | None = None, split: str | None = None) -> Dataset:
    """The pictures of one split of a COCO data set.

    Args:
        path: the folder with annotations/, a folder with Roboflow's files, or one JSON file.
        classes: the model's. Without them the file's categories.
        split: `val` and the like, or "all". Without it the held-out one: val, else test. Means nothing for a file.

    Raises:
        DataError: a file that is no COCO file, one id for two pictures or two categories, no such split, no picture
            found, or an object that is none of `classes`.

    Of an object without a box the bounding box of its segmentation is taken. Crowds are set aside
    (`Sample.ignored_boxes`), the area of an object's mask is kept (`Sample.box_areas`), and a picture of the list that
    is not there is left out and noted.
    """
    if path.is_file():
        root = path.parent.parent if path.parent.name == "annotations" else root_of(path)
        return _load(root, [path], classes, ())
    files = coco_files(path)
    notes: tuple[str, ...] = ()
    if split in (None, ALL) and len(files) > 1:
        # coco128 lists a val2017 whose pictures are train2017's
        gone = [name for name in files if _folder(path, files[name]) is None]
        gone = gone if len(gone) < len(files) else []  # then the pictures are found by their names
        notes = tuple(f"{name} left out: {files[name].name} has no folder of pictures" for name in gone)
        files = {name: file for name, file in files.items() if name not in gone}
    if split == ALL:
        return _load(path, list(files.values()), classes, notes)
    chosen = path.name if list(files) == [path.name] and split is None else choose_split(list(files), split, path)
    left = [name for name in files if name != chosen]
    if split is None and left:
        notes += (f"{chosen} was taken, beside it left out: {some(left)}",)
    return _load(path, [files[chosen]], classes, notes)


def _load(root: Path, files: list[Path], classes: Sequence[str] | None, notes: tuple[str, ...]) -> Dataset:
    parsed = [read_coco(file) for file in files]
    ids: dict[str, str] = {}
    for file, data in zip(files, parsed, strict=True):
        own: dict[str, str] = {}
        for category in data["categories"]:
            number, name = coco_id(category["id"]), str(category["name"])
            if own.setdefault(number, name) != name:
                raise DataError(
                    f"{file} gives one category id to two categories.",
                    got=f"id {number}: {own[number]} and {name}",
                    expected="an id of its own for each",
                )
            if ids.setdefault(number, name) != name:
                raise DataError(
                    f"{file} and another split have different categories.",
                    got=f"id {number}: {name} and {ids[number]}",
                    expected="the same ids and names",
                )
    order = sorted(ids, key=by_number)
    names = [ids[i] for i in order]
    twice = sorted(name for name, count in Counter(map(plain, names)).items() if count > 1)
    if twice:
        notes += (f"WARNING: several category ids have one name, taken as one class: {some(twice)}",)
    dense = {i: n for n, i in enumerate(order)}
    collector = Collector(root, names, classes)
    taken: dict[Path, set[Path]] = {}
    for file, data in zip(files, parsed, strict=True):
        folder = _folder(root, file)
        below = Pictures(folder or root, scan(folder or root).pictures)
        if folder is None and not any(_elsewhere(below, image, file) for image in data["images"]):
            raise DataError(
                f"{file} has no folder of pictures.",
                got="none of " + ", ".join(str(p) for p in _places(root, file)),
                expected="a folder called as the split is",
                fix='rename the folder, or take another split: split="train"',
            )
        _add(collector, file, data, dense, below, taken.setdefault(folder or root, set()))
    for folder, pictures in taken.items():
        notes += unlisted(folder, pictures, "not listed in " + " or ".join(f.name for f in files))
    return collector.dataset("coco", notes)


def _elsewhere(pictures: Pictures, image: dict[str, Any], file: Path) -> Path | None:
    """A picture that is not where the file has it, by its name; never one of another split."""
    found = pictures.find((str(image["file_name"]),), file)
    if not isinstance(found, Path):
        return None
    own = split_of_path(file, file.parent, name_says=True)
    return found if split_of_path(found, pictures.root, name_says=False) in ("", own) else None


def _add(
    collector: Collector, file: Path, data: dict[str, Any], dense: dict[str, int], pictures: Pictures, taken: set[Path]
) -> None:
    """All pictures of one file; `pictures` are those of its folder, `taken` gets those that it lists."""
    folder = pictures.root
    boxes: dict[str, list[dict[str, Any]]] = {coco_id(image["id"]): [] for image in data["images"]}
    for item in data["annotations"]:
        if coco_id(item["image_id"]) not in boxes:
            collector.say("{annotation} of a picture that is not listed, left out", f"id {item.get('id')}")
            continue
        boxes[coco_id(item["image_id"])].append(item)
    listed: dict[Path, list[dict[str, Any]]] = {}
    for image in data["images"]:
        # only what lies in the folder: a file_name is foreign text and may hold ".." or a whole path
        relative = PurePosixPath(str(image["file_name"]))
        inside = not relative.is_absolute() and ".." not in relative.parts
        path = existing(folder / relative if inside else folder / relative.name)
        if not is_file(path):
            path = _elsewhere(pictures, image, file) or path
        if not is_file(path):
            collector.say(f"left out, not in {folder.name}", str(image["file_name"]))
            continue
        taken.add(path.resolve())
        listed.setdefault(path, []).append(image)
    for path, images in track(listed.items(), "reading labels", len(listed)):
        size = collector.check(path)
        if size is None:
            continue
        found = {coco_id(image["id"]): image for image in images}
        if len(found) > 1:
            collector.say("{picture} listed under several ids, the objects of all taken", collector.name(path))
        own = [_box(item, dense, size, collector, path) for key in found for item in boxes[key]]
        stated = (images[0].get("width"), images[0].get("height"))
        if size.orientation >= 5 and stated == (size.height, size.width) != (size.width, size.height):
            collector.say("{box} turned upright with the picture (EXIF)", collector.name(path))
            own = [replace(box, xyxy=upright(box.xyxy, size)) for box in own]
            collector.add(path, size, own)
        else:
            collector.add(path, size, own, sized(images[0]))


def coco_id(value: object) -> str:
    """An id to compare by: some write 1 here and "1" or 1.0 there."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def by_number(text: str) -> tuple[bool, int, str]:
    """A key that sorts ids as numbers, where they are some."""
    number = text.removeprefix("-").isdecimal() and len(text) < DIGITS
    return not number, int(text) if number else 0, text


def _box(item: dict[str, Any], dense: dict[str, int], size: Size, collector: Collector, path: Path) -> Box:
    if coco_id(item["category_id"]) not in dense:
        raise DataError(
            f"Annotation {item.get('id')} has a category that does not exist.",
            got=str(item["category_id"]),
            expected="one of " + some(list(dense), 10),
        )
    xyxy, area, note = coco_shape(item)
    where = f"annotation {item.get('id')}"
    if note:
        collector.say(note, f"{collector.name(path)} {where}")
    return Box(xyxy, dense[coco_id(item["category_id"])], area, is_crowd(item), where)


def is_crowd(item: dict[str, Any]) -> bool:
    """Whether an annotation is of a crowd, as a number, a truth or a text."""
    return str(item.get("iscrowd") or 0).strip().casefold() in ("1", "1.0", "true")


def coco_shape(item: dict[str, Any]) -> tuple[tuple[float, float, float, float], float | None, str]:
    """An annotation's x1 y1 x2 y2 (NaN where it has no four numbers and no mask), its area, and a note or none."""
    given = item.get("bbox", ())
    try:
        x, y, w, h = (float(v) for v in (given.strip("[]() ").split(",") if isinstance(given, str) else given))
    except (TypeError, ValueError, OverflowError):
        x = y = w = h = math.nan  # listed as a box that is not four numbers
    xyxy, outline = (x, y, x + w, y + h), None
    if not (math.isfinite(x + y) and w > 0 and h > 0):
        outline = mask_bounds(item.get("segmentation"))
    try:
        area = float(item["area"])
    except (TypeError, ValueError, LookupError, OverflowError):
        area = math.nan
    note = "{object} without a box, the one around the mask taken" if outline is not None else item.get(_NOTE, "")
    return outline or xyxy, area if 0 <= area < math.inf else None, note


def _places(root: Path, file: Path) -> list[Path]:
    if file.name == ROBOFLOW:
        return [file.parent]
    name = file.stem.removeprefix("instances_")
    beside = [file.parent] if file.parent.name != "annotations" else []
    return [root / name, root / "images" / name, root / name.rstrip("0123456789"), root / "images", *beside]


def _folder(root: Path, file: Path) -> Path | None:
    return next((p for p in _places(root, file) if p.is_dir()), None)


def read_coco(file: Path) -> dict[str, Any]:
    """The JSON of a COCO file, with the fields that it must have; corners and parts of pictures have become x y w h.

    Raises:
        DataError: it has them not, gives one image id to two pictures, or has parts of pictures of unknown size.
    """
    try:
        data = read_json(file, COCO, exact=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read as JSON.", got=str(error), expected="a COCO instances file") from error
    wanted = {"images": {"id", "file_name"}, "annotations": {"image_id", "category_id"}, "categories": {"id", "name"}}
    for key, fields in wanted.items():
        items = data.get(key) if isinstance(data, dict) else None
        bad = not isinstance(items, list) or any(not isinstance(i, dict) or not fields <= set(i) for i in items)
        first = items[0] if isinstance(items, list) and items else None
        if key == "annotations" and bad and isinstance(first, dict) and "segments_info" in first:
            raise DataError(
                f"{file} is COCO's panoptic file, which is not read.",
                got="segments_info",
                expected="a COCO instances file, or masks of class numbers as PNG",
                fix="panopticapi's converters write instances and semantic masks of it",
            )
        if bad or (key == "categories" and not items):
            raise DataError(
                f"{file} is not a COCO instances file.",
                got=f"{key} missing, or one of them without " + " or ".join(sorted(fields)),
                expected="images, annotations and categories",
            )
    files: dict[str, str] = {}
    for image in data["images"]:
        number, name = coco_id(image["id"]), str(image["file_name"])
        if files.setdefault(number, name) != name:
            raise DataError(
                f"{file} gives one image id to two pictures, so nobody can tell whose the boxes are.",
                got=f"id {number}: {files[number]} and {name}",
                expected="an id of its own for each picture",
                fix="before two exports are put into one file, number the pictures of one anew, in its annotations too",
            )
    if note := coco_to_pixels(data, file):
        for item in data["annotations"]:
            item[_NOTE] = note
    elif why := corners(data):
        for item in data["annotations"]:
            if (box := four(item.get("bbox"))) is not None:
                x1, y1, x2, y2 = box
                item["bbox"] = [x1, y1, x2 - x1, y2 - y1]
                item[_NOTE] = f"{{box}} read as x1 y1 x2 y2, which COCO does not have ({why})"
    return data  # type: ignore[no-any-return]
