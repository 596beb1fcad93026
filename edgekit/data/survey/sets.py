"""A data set with all of its splits, under one list of classes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from edgekit.data.classes.apply import mapped
from edgekit.data.classes.class_map import ClassMap
from edgekit.data.load import load_dataset, splits_of
from edgekit.data.made import is_made
from edgekit.data.names import ALL, SPLITS, split_of
from edgekit.data.sample import Dataset
from edgekit.data.split import by_pattern, split_by_group
from edgekit.errors import DataError, SplitError, UsageError
from edgekit.screen import some


@dataclass(frozen=True)
class Sets:
    """Every split of a data set.

    Attributes:
        layout: as `Dataset.layout`.
        classes: those of every split, or None where only numbers or nothing are known.
        parts: by the name of the split; under "" where the set has none.
        notes: what was found on the way, beside the notes of each part.
    """

    layout: str
    classes: tuple[str, ...] | None
    parts: Mapping[str, Dataset]
    notes: tuple[str, ...] = ()

    @property
    def boxed(self) -> bool:
        """Whether of every picture the objects are known."""
        return all(part.boxed for part in self.parts.values())

    def lines(self, without: Callable[[Dataset], Iterable[str]] = lambda part: ()) -> list[str]:
        """What reading the set said, each with its split, but for the notes that `without` gives of a part."""
        found = list(self.notes)
        for split, part in self.parts.items():
            left = set(without(part))
            found += [f"{split}: {note}" if split else note for note in part.notes if note not in left]
        return found


def read_sets(
    path: str | os.PathLike[str], split: str | None = None, names: ClassMap | None = None, *, whole: bool = False
) -> Sets:
    """All splits of the data set at `path`, or one.

    Args:
        path: as `load_dataset` takes it.
        split: the only one to read, by any of its names; "all" puts every picture into one set.
        names: a map that gives classes other names, puts several together or leaves some out.
        whole: refuse a set of which one split cannot be read. Without it that is noted where another can.

    Raises:
        DataError: as `load_dataset`.
        UsageError: a map that names what is not there.
    """
    where = str(path) if is_made(path) else Path(path)
    chosen = (split,) if split is not None else sorted(splits_of(where), key=_order)
    parts: dict[str, Dataset] = {}
    notes: tuple[str, ...] = ()
    failed: DataError | None = None
    for name in chosen:
        try:
            parts["" if name == ALL else name] = load_dataset(where, split=name)
        except DataError as error:
            if split is not None or whole:
                raise
            failed = failed or error
            notes += (f"WARNING: the split {name} cannot be read: {error.what} {error.got or ''}".rstrip(),)
    if not chosen:
        parts[""] = load_dataset(where, split=ALL)
    if not parts:
        raise failed or SplitError(f"{where} has no split that can be read.", got=some(chosen))
    classes, told = _classes(parts)
    if classes is not None and (names is not None or any(part.classes != classes for part in parts.values())):
        wanted = classes if names is None else names.chosen(classes)
        parts = {k: mapped(part, wanted, names or ClassMap(()), strict=False) for k, part in parts.items()}
        classes = wanted
    layout = next(iter(parts.values())).layout
    return Sets(layout, classes, {k: replace(part, classes=classes) for k, part in parts.items()}, (*notes, *told))


def shared_out(sets: Sets, share: float, seed: int = 0, group: str | None = None) -> Sets:
    """A set without splits, or with training pictures only, as `train` and `val`: `share` of it held out.

    Pictures that look alike stay on one side (`split_by_group`).

    Args:
        share: 0..1 exclusive.
        seed: 0 or more; the same one gives the same split.
        group: a regular expression on names; what it finds stays on one side too.

    Raises:
        UsageError: it has something held out already, or values out of range.
        DataError: all pictures belong together.
    """
    if [split_of(name) or name for name in sets.parts] not in ([""], ["train"]):
        raise UsageError(
            "The set has pictures held out already.",
            got="splits: " + some(list(sets.parts)),
            fix='--split all (split="all") takes every picture as one set first',
        )
    (whole,) = sets.parts.values()
    train, val = split_by_group(whole, share, seed, by_pattern(group) if group else None)
    told = train.notes[len(whole.notes) :] + val.notes[-1:]
    parts = {"train": replace(train, notes=whole.notes), "val": replace(val, notes=())}
    return replace(sets, parts=parts, notes=(*sets.notes, *told))


def _order(split: str) -> int:
    """Training first, then validation, then test, by any of their names."""
    return next(i for i, kind in enumerate(SPLITS) if split_of(split.rstrip("0123456789")) == kind)


def _classes(parts: Mapping[str, Dataset]) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """The classes of all parts in the order in which they come, and a warning where parts have others."""
    known = {k: part.classes for k, part in parts.items() if part.classes is not None}
    if len(known) < len(parts):
        return None, ()
    every = tuple(dict.fromkeys(name for names in known.values() for name in names))
    lacking = [f"{k} has no {some(gone)}" for k, own in known.items() if (gone := [n for n in every if n not in own])]
    return every, (f"WARNING: the splits have different classes: {'; '.join(lacking)}",) if lacking else ()
