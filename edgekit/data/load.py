"""Which layout a path has. A new layout is one file beside this one and one line here."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from edgekit.data.classes.apply import mapped
from edgekit.data.classes.class_map import ClassMap
from edgekit.data.layouts.annotations import choose_split
from edgekit.data.layouts.coco import load_coco
from edgekit.data.layouts.csv_ import load_csv
from edgekit.data.layouts.files.survey import format_of, survey
from edgekit.data.layouts.folder import load_folder
from edgekit.data.layouts.formats.tables.boxes import is_table_of_boxes
from edgekit.data.layouts.mask_files.names import names_numbers
from edgekit.data.layouts.split_folders import split_folders, subfolders
from edgekit.data.layouts.unread_labels import refuse_packed, refuse_unread
from edgekit.data.layouts.yolo import load_yolo
from edgekit.data.made import is_made, load_made
from edgekit.data.names import ALL, split_of
from edgekit.data.pictures import load_pictures
from edgekit.data.sample import Dataset, class_index
from edgekit.errors import DataError, SplitError
from edgekit.reading import exists, is_file, is_folder
from edgekit.screen import as_typed, some
from edgekit.vision.clutter import is_clutter
from edgekit.vision.find import SUFFIXES, holds_pictures

TABLES = ("labels.csv", "_classes.csv")  # the second is Roboflow's, of several labels a picture
# Layouts of a folder with boxes, in the order that they are tried: each a file NAME in layouts/ with the functions
# is_NAME(path) and load_NAME(path, classes, split)
BOXED = (
    "yolo",
    "voc",
    "coco",
)
# the same, of label files that lie anywhere below it; tried after those, and not inside a folder around a whole set
ANYWHERE = ("label_files",)
# the same, of those with masks; they are tried after those with boxes, unless masks are what is asked for
MASKED = ("mask_files.masks",)
# masks that are drawn from what label files say; only where masks are asked for
DRAWN = ("mask_files.outlines",)
_NO_SPLIT = "\0"  # asked for to be told which there are


def load_dataset(
    path: str | os.PathLike[str],
    classes: Sequence[str] | None = None,
    split: str | None = None,
    classes_map: ClassMap | None = None,
    *,
    truth: str | None = None,
) -> Dataset:
    """The pictures at `path`, labelled where their layout says how. The first that fits:

    =================================================  ==================================
    synthetic://hive?n=400&val=100&seed=0              a made hive's boxes or masks (`load_made`)
    a .csv file, or a folder with a labels.csv, or     a table (`load_csv`), of one label a picture or of
    Roboflow's _classes.csv, also in train/, valid/    several
    a .yaml file, a folder with a data.yaml, or one    YOLO boxes (`load_yolo`)
    with images/ and labels/
    a folder with XML in Annotations/                  Pascal VOC boxes (`load_voc`)
    a .json file, a folder with annotations/           COCO boxes (`load_coco`)
    instances_*.json or Roboflow's COCO files
    label files of a program anywhere below            boxes (`load_label_files`)
    a folder with images/ and masks/, also in splits   masks of class numbers (`load_masks`)
    pictures in folders                                class folders (`load_folder`)
    any other folder, or a picture                     no labels (`load_pictures`)
    =================================================  ==================================

    Args:
        path: file or folder.
        classes: the model's names, in the order of its logits; labels then index into them.
        split: `train`, `val`, `test` or what the layout calls it, or `all` for every picture. Without it the
            held-out one is taken where there are splits.
        classes_map: which class of the data is which of `classes`, where the two call them differently; see
            `edgekit.data.classes`. Without `classes` it plays no part.
        truth: what is wanted, as in `edgekit.tasks.Task.truth`: with `masks` those of a folder that has boxes too.

    With `truth="masks"` outlines in label files are drawn as masks (`load_outlines`).

    Folders that hold nothing but one other are gone into (`unwrapped`), which is noted.

    Raises:
        DataError: nothing there, no such split, no readable picture, or labels that do not fit `classes`.
        LayoutError: pictures with labels in a layout that is not read.
        UsageError: a map that does not fit, or leaves classes of the data without one of the model's.
    """
    if classes_map is not None and classes is not None:
        return mapped(load_dataset(path, None, split, truth=truth), classes, classes_map)
    if is_made(path):
        return load_made(as_typed(path), classes, split, truth)
    path, gone_into = unwrapped(Path(path), classes)
    dataset = _load(path, classes, split, truth)
    return replace(dataset, notes=(*gone_into, *dataset.notes)) if gone_into else dataset


def _load(path: Path, classes: Sequence[str] | None, split: str | None, truth: str | None) -> Dataset:
    if truth == "masks" and exists(path) and (layout := _masked(path) or _first(DRAWN, path)) is not None:
        return _read(layout, path, classes, split)
    if truth == "masks" and is_folder(path):
        raise _no_masks(path)
    if is_file(path):
        suffix = path.suffix.lower()
        if suffix in (".yaml", ".yml"):
            return load_yolo(path, classes, split)
        if _is_one_file(path):
            return _read("label_files", path, classes, split)
        if suffix in (".csv", ".json"):
            _no_split(path, split)
            return load_csv(path, classes) if suffix == ".csv" else load_coco(path, classes)
        refuse_packed(path)
        _no_split(path, split)
        return load_pictures(path)
    if not is_folder(path):
        raise DataError(
            f"{path} is not there.",
            got="no such file or folder",
            expected=f"a folder of pictures, of class folders, with a {TABLES[0]}, with images/ and masks/, or a YOLO, "
            "VOC or COCO data set",
        )
    if (table := _table_in(path)) is not None:
        _no_split(path, split)
        return load_csv(table, classes)
    if _tables_of_splits(path):
        return _in_folder(path, classes, split, truth)
    if (layout := _boxed(path) or _masked(path)) is not None:
        return _read(layout, path, classes, split)
    if split not in (None, ALL):
        return _in_folder(path, classes, split, truth)
    if any(map(holds_pictures, subfolders(path))):
        return load_folder(path, classes, split)
    refuse_unread(path)
    return load_pictures(path)


def _no_masks(path: Path) -> DataError:
    inside = [folder.name + "/" for folder in subfolders(path)]
    boxes = "boxes without outlines" if _boxed(path) is not None else ""
    return DataError(
        f"{path} has no masks that are read.",
        got=boxes or (some(inside) if inside else "pictures alone"),
        expected="images/x.jpg and masks/x.png of class numbers or colours, masks/CLASS/x.png, outlines in COCO, YOLO, "
        "labelme and other label files, or a table of runs (EncodedPixels)",
        fix="docs/data.md has every layout; masks in arrays (.npy) must be written as PNG",
    )


def unwrapped(path: Path, classes: Sequence[str] | None = None) -> tuple[Path, tuple[str, ...]]:
    """The folder that the data set lies in, and a note: below `path`, as deep as each holds one folder and no picture.

    A lone folder is a class and not gone into where the way ends at fewer than two folders of pictures, or where it has
    the name of a split or of one of `classes`.
    """
    inner = path
    while is_folder(inner) and not _has_layout(inner):
        inside = [p for p in subfolders(inner) if holds_pictures(p)]
        if len(inside) != 1:
            break
        (only,) = inside
        labels = survey(inner)
        if labels is not None and not all(file.is_relative_to(only) for file in labels.files):
            break
        is_class = classes is not None and class_index(only.name, classes) is not None
        if split_of(only.name) or is_class or (_pictures_in(only) and not _has_layout(only)) or _pictures_in(inner):
            return path, ()
        inner = only
    if inner == path or not (_has_layout(inner) or len(subfolders(inner)) > 1):
        return path, ()
    return inner, (f"{inner.relative_to(path).as_posix()}/ was gone into: {path.name} holds no other pictures",)


def has_boxes(path: Path) -> bool:
    """Whether `path` has one of the layouts with boxes, as one data set with its splits."""
    if is_made(path):
        return True
    if is_file(path):
        return path.suffix.lower() in (".yaml", ".yml", ".json") or _is_one_file(path)
    return _boxed(unwrapped(path)[0]) is not None


def splits_of(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """The names of the splits that `path` has, as `load_dataset` takes them; () where it has none.

    Lists that are called otherwise than a split is (Pascal VOC's trainval) are none.

    Raises:
        DataError: folders that may as well be classes as splits.
    """
    if not is_made(path):
        path = unwrapped(Path(path))[0]
        if is_folder(path) and not _has_layout(path) and _first(ANYWHERE, path) is None:
            return tuple(split_folders(path).splits)
    try:
        load_dataset(path, split=_NO_SPLIT)
    except SplitError as error:
        return tuple(name for name in error.splits if split_of(name.rstrip("0123456789")))
    except DataError:  # it has none, or nothing of it can be read
        return ()
    return ()


def suits(path: Path, truth: str) -> bool:
    """Whether what is known of the pictures at `path`, by their layout, is what a task's `truth` asks for."""
    if truth == "boxes":
        return has_boxes(path)
    inner = unwrapped(path)[0] if not is_made(path) and exists(path) else None
    if truth == "masks":
        return is_made(path) or (inner is not None and (_masked(inner) or _first(DRAWN, inner)) is not None)
    return not has_boxes(path) and (inner is None or _masked(inner) is None)


def _has_layout(path: Path) -> bool:
    known = _table_in(path) is not None or _tables_of_splits(path)
    return known or _first(BOXED, path) is not None or _masked(path) is not None


def _table_in(path: Path) -> Path | None:
    """The table of labels in the folder `path`."""
    there = [path / name for name in TABLES if is_file(path / name)]
    return next((file for file in there if not is_table_of_boxes(file) and not names_numbers(file)), None)


def _is_one_file(path: Path) -> bool:
    """Whether a file holds labels of boxes in another way than `load_coco` and `load_csv` read."""
    if path.suffix.lower() in SUFFIXES:
        return False
    kind = format_of(path)
    return kind is not None and kind.name != "coco"


def _tables_of_splits(path: Path) -> bool:
    """Whether train/, valid/ and the like have a table each."""
    return any(split_of(folder.name) and _table_in(folder) is not None for folder in subfolders(path))


def _boxed(path: Path) -> str | None:
    """The layout with boxes that the folder `path` has."""
    return _first((*BOXED, *ANYWHERE), path)


def _masked(path: Path) -> str | None:
    """The layout of `MASKED` that the folder `path` has."""
    return _first(MASKED, path) if is_folder(path) else None


def _first(names: Sequence[str], path: Path) -> str | None:
    return next((name for name in names if _function(name, "is")(path)), None)


def _read(layout: str, path: Path, classes: Sequence[str] | None, split: str | None) -> Dataset:
    loaded: Dataset = _function(layout, "load")(path, classes, split)
    return loaded


def _function(name: str, what: Literal["is", "load"]) -> Callable[..., Any]:
    function: Callable[..., Any] = getattr(
        import_module(f"edgekit.data.layouts.{name}"), f"{what}_{name.rpartition('.')[2]}"
    )
    return function


def _pictures_in(path: Path) -> bool:
    return any(p.suffix.lower() in SUFFIXES and not is_clutter(p.name) for p in path.iterdir())


def _in_folder(path: Path, classes: Sequence[str] | None, split: str | None, truth: str | None) -> Dataset:
    """The split of a folder is the folder of its name."""
    folders = {p.name: p for p in subfolders(path)}
    return load_dataset(folders[choose_split(list(folders), split, path)], classes, truth=truth)


def _no_split(path: Path, split: str | None) -> None:
    if split not in (None, ALL):
        raise DataError(f"{path} has no splits.", got=f"split {split!r}", expected="no split, or a path of its own")
