"""The training and the validation pictures of a folder, kept apart."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgekit.data import Dataset, load_dataset
from edgekit.data.sample import some
from edgekit.errors import DataError
from edgekit.recipe import Data

VALIDATION = ("val", "valid", "validation", "test")


@dataclass(frozen=True)
class Splits:
    """Two data sets with the same classes, and notes on how they came about."""

    train: Dataset
    val: Dataset
    notes: tuple[str, ...]


def load_splits(path: Path, data: Data, seed: int) -> Splits:
    """`path`/train and `path`/val (see `Data`); where there are no such folders, a share of each class is held out.

    Raises:
        DataError: no pictures, or folders that do not belong together.
    """
    if not path.is_dir():
        raise DataError(f"{path} is not there.", got="no such folder", expected="a folder of labelled pictures")
    root = path / data.train
    names = (data.val,) if data.val else VALIDATION
    held = next((path / name for name in names if (path / name).is_dir()), None)
    if root.is_dir() and held is not None:
        train = load_dataset(root)
        val = load_dataset(held, train.classes)
        notes = [*(f"{data.train}: {n}" for n in train.notes), *(f"{held.name}: {n}" for n in val.notes)]
    elif root.is_dir() or data.val:
        raise DataError(
            f"{path} has no folder of validation pictures.",
            got="only " + some(sorted(p.name for p in path.iterdir())),
            expected=" or ".join(f"{name}/" for name in names),
            fix=f"move some pictures there, or name {root} itself: a share of it is then held out",
        )
    else:
        whole = load_dataset(path)
        train, val = _held_out(whole, data.val_share, seed)
        notes = [
            *whole.notes,
            f"{len(val)} of {len(whole)} pictures held out at random. Pictures of one site, day or clip on both sides "
            "make the estimate too good: make folders train/ and val/ for a true one",
        ]
    for which, dataset in (("training", train), ("validation", val)):
        notes.append(f"{which}: {counts(dataset)}")
    return Splits(train, val, (*notes, *_shared(train, val)))


def counts(dataset: Dataset) -> str:
    """E.g. "245 pictures (ants 124, bees 121)"."""
    of = Counter(s.label for s in dataset)
    names = dataset.classes or tuple(str(i) for i in range(1 + max((i for i in of if i is not None), default=-1)))
    return f"{len(dataset)} pictures ({some([f'{name} {of[i]}' for i, name in enumerate(names)], 12)})"


def _held_out(whole: Dataset, share: float, seed: int) -> tuple[Dataset, Dataset]:
    """A random share of each class, at least one picture of each that has two."""
    rng = np.random.default_rng(seed)
    held: set[int] = set()
    for label in sorted({s.label for s in whole}, key=str):
        mine = [i for i, s in enumerate(whole) if s.label == label]
        count = min(len(mine) - 1, max(1, round(share * len(mine))))
        held |= {int(i) for i in rng.permutation(mine)[:count]}
    if not held:
        raise DataError("There are too few pictures to hold some out.", got=f"{len(whole)}", expected="two a class")
    kept = tuple(s for i, s in enumerate(whole) if i not in held)
    return replace(whole, samples=kept), replace(whole, samples=tuple(whole.samples[i] for i in sorted(held)))


def _shared(train: Dataset, val: Dataset) -> tuple[str, ...]:
    known = {s.content(): s.name for s in train}
    same = [f"{s.name} = {known[c]}" for s in val if (c := s.content()) in known]
    if not same:
        return ()
    return (
        f"WARNING: {len(same)} validation pictures are also in training, so the estimate is too good: {some(same)}",
    )
