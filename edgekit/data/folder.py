"""Class folders: DIR/<class>/picture.jpg, or a split of them, DIR/val/<class>/picture.jpg."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgekit.data.pictures import left_out, readable
from edgekit.data.sample import Dataset, Sample, class_index, some
from edgekit.errors import DataError
from edgekit.vision.image import scan_pictures

# Held-out splits first: this room serves evaluation and calibration, training names its own folder
_HELD_OUT = ("val", "valid", "validation", "test")
_SPLITS = (*_HELD_OUT, "train")


def load_folder(path: Path, classes: Sequence[str] | None = None) -> Dataset:
    """Pictures labelled by the folder directly below `path` that they lie in, however deep.

    Args:
        path: holds class folders, or `val` (valid, validation, test), which does.
        classes: the model's; folders are matched by name in any case. Without them the sorted folder names are
            the classes, as in torchvision's ImageFolder.

    Raises:
        DataError: no class folder with pictures, only a `train` split, or a folder that is none of `classes`.
    """
    root, notes = _split(path)
    held: dict[str, list[Path]] = {}
    empty: list[str] = []
    others: list[Path] = []
    for folder in sorted(p for p in root.iterdir() if p.is_dir()):
        pictures, rest = scan_pictures(folder)
        others += rest
        if pictures:
            held[folder.name] = pictures
        else:
            empty.append(folder.name)
    if not held:
        raise DataError(
            f"{root} has no class folders with pictures.",
            got=f"folders without pictures: {some(empty)}" if empty else "no folders",
            expected="one folder a class, with its pictures in it",
        )
    names = tuple(held) if classes is None else tuple(classes)
    indices = _indices(list(held), names, root)
    samples, unreadable = readable(
        Sample(p, None, indices[name], p.relative_to(root).as_posix()) for name in held for p in held[name]
    )
    outside = sorted(p for p in root.iterdir() if p.is_file())
    notes += unreadable
    notes += left_out(outside, root, "outside the class folders")
    notes += left_out(others, root, "not pictures by their suffix")
    if empty:
        notes += (f"{len(empty)} folder(s) without pictures: {some(empty)}",)
    absent = [c for i, c in enumerate(names) if i not in set(indices.values())]
    if absent:
        notes += (f"{len(absent)} of {len(names)} classes have no pictures: {some(absent)}",)
    return Dataset(samples, names, "folder", notes)


def has_class_folders(path: Path) -> bool:
    """Whether any picture lies in a folder below `path`."""
    return any(scan_pictures(p)[0] for p in path.iterdir() if p.is_dir())


def _split(path: Path) -> tuple[Path, tuple[str, ...]]:
    """The folder that holds the class folders, and a note about the splits that were left out."""
    folders = {p.name.lower(): p for p in sorted(path.iterdir()) if p.is_dir()}
    splits = {name: folders[name] for name in _SPLITS if name in folders and has_class_folders(folders[name])}
    if not splits:
        return path, ()
    held_out = [name for name in _HELD_OUT if name in splits]
    if not held_out:
        raise DataError(
            f"{path} has only pictures that a model was trained on.",
            got="a train folder and no " + ", ".join(_HELD_OUT),
            expected="pictures that were held out",
            fix=f"split some off, or name the folder itself: {folders['train']}",
        )
    chosen = splits[held_out[0]]
    left = sorted(p.name for p in path.iterdir() if p != chosen)
    return chosen, (f"{chosen.name} was taken" + (f", beside it left out: {some(left)}" if left else ""),)


def _indices(folders: list[str], classes: tuple[str, ...], root: Path) -> dict[str, int]:
    found = {name: class_index(name, classes) for name in folders}
    unknown = [name for name, index in found.items() if index is None]
    if unknown:
        raise DataError(
            f"{root} has folders that are not classes of the model.",
            got=some(unknown),
            expected=some(classes, 10),
            fix="rename or remove them, or use a table with the columns file,class_index",
        )
    return {name: index for name, index in found.items() if index is not None}
