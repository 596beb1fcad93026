"""Whether folders are splits (train/, val/) or classes, of which one may be called test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgekit.data.names import SPLITS, split_of
from edgekit.data.sample import class_index
from edgekit.errors import DataError
from edgekit.screen import count_of, some
from edgekit.vision.clutter import is_clutter
from edgekit.vision.find import holds_pictures

# Held-out splits first: this room serves evaluation and calibration, training names its own folder
_HELD_OUT = ("val", "test")


@dataclass(frozen=True)
class SplitFolders:
    """How the folders below a path are read.

    Attributes:
        splits: the folder of each split (`train`, `val`, `test`); empty where the folders are classes.
        flat: the splits hold pictures and no class folders.
        notes: what could be read otherwise.
    """

    splits: Mapping[str, Path] = field(default_factory=dict)
    flat: bool = False
    notes: tuple[str, ...] = ()


def subfolders(path: Path) -> list[Path]:
    """The folders directly below `path`, sorted, without hidden ones and those of a system."""
    return sorted(p for p in path.iterdir() if p.is_dir() and not is_clutter(p.name))


def split_folders(path: Path, classes: Sequence[str] | None = None) -> SplitFolders:
    """The folders below `path` whose names are those of splits, in any case, unless they are classes.

    A folder of such a name is a class where other folders lie beside it, unless there are both a training and a
    held-out split of class folders. `classes`, the model's, decide where only one reading has their names.

    Raises:
        DataError: two folders of one name but for its case, or it is unclear which they are.
    """
    with_pictures = [p for p in subfolders(path) if holds_pictures(p)]
    named = [p for p in with_pictures if split_of(p.name)]
    beside = [p for p in with_pictures if not split_of(p.name)]
    deep = [p for p in named if _inner(p)]
    if not named or (beside and not deep):
        return SplitFolders(notes=_as_classes(named, beside))
    if not deep:
        return SplitFolders(_by_split(path, named), flat=True)
    if not beside:
        return SplitFolders(_by_split(path, deep))
    if classes is not None:
        as_classes = all(_known(p.name, classes) for p in with_pictures)
        as_splits = all(_known(name, classes) for p in deep for name in _inner(p))
        if as_classes != as_splits:
            return SplitFolders() if as_classes else SplitFolders(_by_split(path, deep))
    kinds = {split_of(p.name) for p in deep}
    if "train" in kinds and len(kinds) > 1:
        said = f"{_names(deep)} are read as splits, {_names(beside)} beside them left out; were they all classes, the "
        return SplitFolders(_by_split(path, deep), notes=(said + "splits would need other names",))
    if all(_inner(p) & _inner(q) for p in deep for q in beside):
        return SplitFolders(notes=_as_classes(named, beside))
    raise DataError(
        f"{path} can be read in two ways.",
        got=f"{_names(deep)} beside {_names(beside)}",
        expected=f"a split with the classes {some(sorted(_inner(deep[0])))}, or "
        f"{count_of(len(with_pictures), 'class')}: " + some([p.name for p in with_pictures], 10),
        fix=f"for the split name the folder itself, {deep[0]}; for the classes give it another name",
    )


def held_out(path: Path, splits: Mapping[str, Path]) -> Path:
    """The held-out one of the splits. Raises DataError where there is none."""
    for name in _HELD_OUT:
        if name in splits:
            return splits[name]
    raise DataError(
        f"{path} has only pictures that a model was trained on.",
        got="a train folder and no " + ", ".join(name for split in _HELD_OUT for name in SPLITS[split]),
        expected="pictures that were held out",
        fix=f"split some off, or name the folder itself: {splits['train']}",
    )


def _by_split(path: Path, folders: Sequence[Path]) -> dict[str, Path]:
    """Each split's folder; of several names of one (val, validation) the one that stands first in SPLITS."""
    found: dict[str, Path] = {}
    for split, names in SPLITS.items():
        mine = [p for p in folders if split_of(p.name) == split]
        mine.sort(key=lambda p: next((i for i, n in enumerate(names) if p.name.casefold() == n), len(names)))
        if len(mine) > 1 and mine[0].name.casefold() == mine[1].name.casefold():
            raise DataError(
                f"{path} has the {split} split twice.",
                got=f"{mine[0].name} and {mine[1].name}",
                expected="one folder of it",
                fix="put them together, or rename one",
            )
        if mine:
            found[split] = mine[0]
    return found


def _as_classes(named: Sequence[Path], beside: Sequence[Path]) -> tuple[str, ...]:
    if not named:
        return ()
    is_one = "is read as a class" if len(named) == 1 else "are read as classes"
    rest = f" beside {_names(beside)}" if beside else ""
    return (f"{_names(named)} {is_one}{rest}; if it is a split, name its folder itself, or put the others away",)


def _inner(path: Path) -> set[str]:
    """The names of the folders in `path` that hold pictures."""
    return {p.name for p in subfolders(path) if holds_pictures(p)}


def _known(name: str, classes: Sequence[str]) -> bool:
    return class_index(name, classes) is not None


def _names(folders: Sequence[Path]) -> str:
    return some([p.name for p in folders])
