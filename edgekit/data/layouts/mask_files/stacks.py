"""Masks of one class each, in a folder a class: masks/bee/x.png and masks/hornet/x.png of images/x.jpg."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgekit.data.layouts.mask_files.outlines import classes_around
from edgekit.data.layouts.mask_files.pairs import Pair, key_of, mask_names, masks_in, pictures_of
from edgekit.data.mask_file import MaskStack
from edgekit.data.names import plain
from edgekit.data.orientation import picture_size
from edgekit.data.pictures import left_out
from edgekit.data.sample import Dataset, Sample
from edgekit.errors import DataError
from edgekit.progress import track
from edgekit.screen import note_of, some
from edgekit.vision.image import picture_problem


def load_stacks(root: Path, pairs: Sequence[Pair], classes: Sequence[str] | None, notes: tuple[str, ...]) -> Dataset:
    """The pictures of these pairs, all with `parts`; what is in no file of a picture is around the objects.

    Args:
        root: of the data set.
        classes: the model's.
        notes: what is to be told of the set already.

    Raises:
        DataError: folders that are none of `classes`, or no picture with a mask.
    """
    folders = [folder for pair in pairs for folder in pair.parts]
    names, index, around, more = classes_around(tuple(dict.fromkeys(plain(f.name) for f in folders)), classes, root)
    said: dict[str, list[str]] = {}
    samples = []
    for pair in pairs:
        known = [(index[plain(f.name)], {key_of(p, f): p for p in masks_in(f)}) for f in pair.parts]
        without = []
        for picture in track(pictures_of(pair), "looking at masks"):
            name = picture.relative_to(root).as_posix()
            ways = tuple(mask_names(key_of(picture, pair.pictures), apart=True))
            files = [(i, next((masks[way] for way in ways if way in masks), None)) for i, masks in known]
            found = tuple((i, file) for i, file in files if file is not None)
            if not found:
                without.append(picture)
            elif (problem := _problem(picture, [file for _, file in found])) is not None:
                said.setdefault("left out", []).append(f"{name} ({problem})")
            else:
                samples.append(Sample(picture, None, None, name, mask=MaskStack(found, around)))
        notes += left_out(without, root, "without a mask")
    told = f"each folder of masks is a class: {some(list(dict.fromkeys(plain(f.name) for f in folders)), 12)}"
    counted = tuple(f"{note_of(len(where), what)}: {some(where)}" for what, where in said.items())
    if not samples:
        raise DataError(f"None of the pictures in {root} has a mask that can be used.", got="; ".join(counted) or told)
    return Dataset(tuple(samples), names, "masks", (*notes, told, *more, *counted))


def _problem(picture: Path, masks: Sequence[Path]) -> str | None:
    """Why they cannot be used."""
    problem = next((text for file in (picture, *masks) if (text := picture_problem(file)) is not None), None)
    if problem is not None:
        return problem
    size = picture_size(picture)
    others = {(own.width, own.height) for own in map(picture_size, masks)}
    return None if others == {(size.width, size.height)} else f"{size.width} x {size.height}, its masks of another size"
