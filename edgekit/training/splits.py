"""The training and the validation pictures of a folder, kept apart."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from edgekit.data import Dataset, by_pattern, load_dataset, near_duplicates, split_by_group
from edgekit.data.annotations import HELD_OUT as VALIDATION
from edgekit.data.layouts import has_boxes
from edgekit.data.made import is_made
from edgekit.data.sample import some
from edgekit.data.yolo import CONFIGS, is_split
from edgekit.errors import DataError, SplitError
from edgekit.recipe import Data


@dataclass(frozen=True)
class Splits:
    """Two data sets with the same classes, and notes on how they came about."""

    train: Dataset
    val: Dataset
    notes: tuple[str, ...]


def load_splits(path: Path, data: Data, seed: int) -> Splits:
    """The splits of a YOLO, VOC or COCO data set, or `path`/train and `path`/val (see `Data`).

    Where there is nothing held out, a share is: by group, so that pictures that look alike stay on one side.

    Raises:
        DataError: no pictures, or folders that do not belong together.
    """
    if not path.exists() and not is_made(path):
        raise DataError(f"{path} is not there.", got="no such folder", expected="a folder of labelled pictures")
    root = path / data.train
    names = (data.val,) if data.val else VALIDATION
    held = next((path / name for name in names if (path / name).is_dir()), None)
    if has_boxes(path):
        train, val = _annotated(path, data, seed)
    elif root.is_dir() and held is not None:
        train = load_dataset(root)
        val = load_dataset(held, train.classes)
    elif root.is_dir() or data.val:
        raise DataError(
            f"{path} has no folder of validation pictures.",
            got="only " + some(sorted(p.name for p in path.iterdir())),
            expected=" or ".join(f"{name}/" for name in names),
            fix=f"move some pictures there, or name {root} itself: a share of it is then held out",
        )
    else:
        train, val = _held_out(load_dataset(path), data, seed)
    notes = []
    for which, dataset in (("training", train), ("validation", val)):
        notes += [f"{which}: {note}" for note in dataset.notes]
        if not dataset.boxed:  # the notes of those with boxes count them
            notes.append(f"{which}: {counts(dataset)}")
    return Splits(train, val, (*notes, *_shared(train, val)))


def counts(dataset: Dataset) -> str:
    """E.g. "245 pictures (ants 124, bees 121)"."""
    of = Counter(s.label for s in dataset)
    names = dataset.classes or tuple(str(i) for i in range(1 + max((i for i in of if i is not None), default=-1)))
    return f"{len(dataset)} pictures ({some([f'{name} {of[i]}' for i, name in enumerate(names)], 12)})"


def _annotated(path: Path, data: Data, seed: int) -> tuple[Dataset, Dataset]:
    if path.suffix == ".json" or (is_split(path) and not any((path / name).is_file() for name in CONFIGS)):
        return _held_out(load_dataset(path), data, seed)  # one split of a larger set, or a set without any
    try:
        train = load_dataset(path, split=data.train)
    except SplitError:
        if data.train != "train":
            raise
        return _held_out(load_dataset(path, split="all"), data, seed)
    for name in (data.val,) if data.val else VALIDATION:
        try:
            return train, load_dataset(path, train.classes, split=name)
        except SplitError:
            if data.val:
                raise
    return _held_out(train, data, seed)


def _held_out(whole: Dataset, data: Data, seed: int) -> tuple[Dataset, Dataset]:
    if len(whole) < 2:
        raise DataError("There are too few pictures to hold some out.", got=f"{len(whole)}", expected="two a class")
    return split_by_group(whole, data.val_share, seed, by_pattern(data.group) if data.group else None)


def _shared(train: Dataset, val: Dataset) -> tuple[str, ...]:
    if train.layout == "made":
        return ()  # of different seeds; boards look alike to a hash
    known = {s.content(): s.name for s in train}
    same = [f"{s.name} = {known[c]}" for s in val if (c := s.content()) in known]
    notes = []
    if same:
        notes.append(
            f"WARNING: {len(same)} validation pictures are also in training, so the estimate is too good: {some(same)}"
        )
    warning = near_duplicates(train, val).warning()
    return (*notes, warning) if warning else tuple(notes)
