"""Class folders: DIR/<class>/picture.jpg, or a split of them, DIR/val/<class>/picture.jpg."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edgekit.data.classes.class_map import proposal
from edgekit.data.layouts.split_folders import held_out, split_folders, subfolders
from edgekit.data.layouts.unread_labels import refuse_unread
from edgekit.data.names import ALL, alike, plain, written_differently
from edgekit.data.pictures import in_two_classes, left_out, load_pictures, no_pictures, readable
from edgekit.data.sample import Dataset, Sample, class_index
from edgekit.errors import DataError
from edgekit.screen import count_of, some
from edgekit.vision.clutter import clutter_note, is_clutter
from edgekit.vision.find import holds_pictures, scan


def load_folder(path: Path, classes: Sequence[str] | None = None, split: str | None = None) -> Dataset:
    """Pictures labelled by the folder directly below `path` that they lie in, however deep.

    Args:
        path: holds class folders, or folders of splits (`split_folders`), which do.
        classes: the model's; folders are matched by name in any case. Without them the sorted folder names are
            the classes, as in torchvision's ImageFolder, in Unicode's composed form (NFC).
        split: "all" for those of every split; else the held-out one: val, else test.

    Raises:
        DataError: no class folder with pictures, only a `train` split, a folder that is none of `classes`, or one that
            may as well be a class as a split.
        LayoutError: label files in another layout, where the folders do not look like classes.
    """
    found = split_folders(path, classes)
    notes = found.notes
    roots, base = [path], path
    if found.splits and split == ALL:
        roots = list(found.splits.values())
    elif found.splits and not (found.flat and list(found.splits) == ["train"]):
        base = held_out(path, found.splits)
        roots = [base]
        left = sorted(p.name for p in path.iterdir() if p != base and not is_clutter(p.name))
        notes += (f"{base.name} was taken" + (f", beside it left out: {some(left)}" if left else ""),)
    if found.flat:
        refuse_unread(base)
        pictures = load_pictures(base)
        return replace(pictures, notes=notes + pictures.notes)
    return _load(roots, base, classes, notes)


def _load(roots: Sequence[Path], base: Path, classes: Sequence[str] | None, notes: tuple[str, ...]) -> Dataset:
    held: dict[str, list[Path]] = {}
    empty: list[str] = []
    others: list[Path] = []
    outside: list[Path] = []
    clutter = [p for p in base.iterdir() if is_clutter(p.name)]
    for root in roots:
        outside += (p for p in root.iterdir() if p.is_file() and not is_clutter(p.name))
        if root != base:
            clutter += (p for p in root.iterdir() if is_clutter(p.name))
        refuse_unread(root, [p for p in subfolders(root) if holds_pictures(p)])
        for folder in subfolders(root):
            below = scan(folder)
            others += below.others
            clutter += below.clutter
            if below.pictures:
                held.setdefault(folder.name, []).extend(below.pictures)
            else:
                empty.append(folder.relative_to(base).as_posix())
    if not held:
        raise DataError(
            f"{base} has no class folders with pictures.",
            got=f"folders without pictures: {some(empty)}" if empty else "no folders",
            expected="one folder a class, with its pictures in it",
        )
    names = tuple(sorted({plain(name) for name in held})) if classes is None else tuple(classes)
    indices = _indices(list(held), names, base)
    samples, unreadable = readable(
        Sample(p, None, indices[name], p.relative_to(base).as_posix()) for name in held for p in held[name]
    )
    notes += clutter_note(sorted(clutter), base) + written_differently(list(held)) + _together(indices, names)
    notes += unreadable + in_two_classes(samples, names)
    notes += left_out(sorted(outside), base, "outside the class folders")
    notes += no_pictures(others, base)
    if empty:
        notes += (f"{count_of(len(empty), 'folder')} without pictures: {some(empty)}",)
    absent = [c for i, c in enumerate(names) if i not in set(indices.values())]
    if absent:
        notes += (f"{len(absent)} of {len(names)} classes have no pictures: {some(absent)}",)
    return Dataset(samples, names, "folder", notes)


def _together(indices: dict[str, int], names: Sequence[str]) -> tuple[str, ...]:
    """A warning about folders that differ in case: apart as classes of their own, or together in one of the model's."""
    apart = alike(plain(name) for name in indices if plain(name) == names[indices[name]])
    together: dict[int, set[str]] = {}
    for name, index in indices.items():
        together.setdefault(index, set()).add(plain(name))
    return apart + tuple(
        f"WARNING: the folders {', '.join(sorted(ways))} are all taken as the class {names[index]}"
        for index, ways in together.items()
        if len(ways) > 1
    )


def _indices(folders: list[str], classes: tuple[str, ...], root: Path) -> dict[str, int]:
    found = {name: class_index(name, classes) for name in folders}
    unknown = [name for name, index in found.items() if index is None]
    if unknown:
        raise DataError(
            f"{root} has folders that are not classes of the model.",
            got=some(unknown),
            expected=some(classes, 10),
            fix=f"{proposal(unknown, classes)}; or rename or remove them",
        )
    return {name: index for name, index in found.items() if index is not None}
