"""The training and the validation pictures of a folder, kept apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from edgekit.config.recipe import Data
from edgekit.data import Dataset, by_pattern, clips, load_dataset, near_duplicates, split_by_group
from edgekit.data.classes.apply import mapped
from edgekit.data.classes.class_map import ClassMap
from edgekit.data.layouts.annotations import HELD_OUT as VALIDATION
from edgekit.data.layouts.data_yaml import CONFIGS, is_split
from edgekit.data.layouts.split_folders import SplitFolders, split_folders, subfolders
from edgekit.data.load import has_boxes, splits_of, unwrapped
from edgekit.data.made import is_made
from edgekit.data.sample import Sample
from edgekit.errors import DataError, SplitError
from edgekit.progress import track
from edgekit.screen import count_of, some
from edgekit.vision.find import holds_pictures

IMBALANCED = 20  # times as many pictures of one class as of another are worth a word


@dataclass(frozen=True)
class Splits:
    """Two data sets with the same classes, and notes on how they came about."""

    train: Dataset
    val: Dataset
    notes: tuple[str, ...]


def load_splits(path: Path, data: Data, seed: int, names: ClassMap | None = None, truth: str = "labels") -> Splits:
    """The splits of a YOLO, VOC or COCO data set, or `path`/train and `path`/val (see `Data`).

    Where there is nothing held out, a share is: by group, so that pictures that look alike stay on one side.

    Args:
        names: a map that gives classes of the data other names, puts several together, or leaves some out.
        truth: what is to be learnt, as in `edgekit.tasks.Task.truth`; with `masks` those of a set that has boxes too.

    Raises:
        DataError: no pictures, or folders that do not belong together.
        UsageError: a map that does not fit.
    """
    if not path.exists() and not is_made(path):
        raise DataError(f"{path} is not there.", got="no such folder", expected="a folder of labelled pictures")
    path, said = unwrapped(path) if not is_made(path) else (path, ())
    if truth == "masks":
        train, val = _annotated(path, data, seed, names is not None, truth)
    elif has_boxes(path):
        train, val = _annotated(path, data, seed, names is not None)
    else:
        train, val, found = _folders(path, data, seed, names is not None)
        said += found
    if train.masked and truth != "masks":
        raise DataError(
            "These pictures have masks, which this recipe does not learn.",
            got=f"{path} has a class for each pixel (layout {train.layout!r})",
            expected="boxes, or labels of whole pictures",
            fix="a recipe for segmentation: edgekit train unet-r18 --data PATH",
        )
    further = [(where, _boxed(where, train)) for where in data.also]
    if names is not None:
        classes = names.chosen(train.classes or (), [name for _, more in further for name in more.classes or ()])
        train, val = (mapped(part, classes, names, strict=False) for part in (train, val))
    for where, more in further:
        train = _with(train, more, where, names)
    notes = list(said)
    for which, dataset in (("training", train), ("validation", val)):
        notes += [f"{which}: {note}" for note in dataset.notes]
        if dataset.masked:
            notes.append(f"{which}: {count_of(len(dataset), 'picture')} with masks")
        elif not dataset.boxed:  # the notes of those with boxes count them
            notes.append(f"{which}: {counts(dataset)}")
    notes += _imbalance(train, val)
    return Splits(train, val, (*notes, *_shared(train, val)))


def _boxed(path: str, train: Dataset) -> Dataset:
    """The training pictures of the further set at `path`, or all of one without splits.

    Raises:
        DataError: no such set, or one without boxes, beside `train`; as `load_dataset`.
    """
    folder = path if is_made(path) else Path(path)
    try:
        more = load_dataset(folder, split="train")
    except SplitError:
        more = load_dataset(folder, split="all")
    if train.boxed and more.boxed:
        return more
    raise DataError(
        "Further training sets are for detectors: both need boxes.",
        got=f"{path} ({more.layout})" if train.boxed else f"labels of whole pictures beside {path}",
        expected="YOLO, Pascal VOC or COCO",
        fix="leave data.also out",
    )


def _with(train: Dataset, more: Dataset, where: str, names: ClassMap | None) -> Dataset:
    """`train` and the pictures of a further set, under the classes of `train`.

    Raises:
        UsageError: a class that `train` does not have and no map names.
    """
    assert train.classes is not None
    more = mapped(more, train.classes, names or ClassMap(()), strict=False)
    # a name is told where a picture cannot be read, and must say which set it is of
    samples = (*train.samples, *(replace(s, name=f"{where}: {s.name}") for s in more))
    layout = more.layout if train.layout == "made" else train.layout  # "made" only where all of them are
    notes = (*train.notes, *(f"{where}: {note}" for note in more.notes))
    return replace(train, samples=samples, layout=layout, notes=notes)


def counts(dataset: Dataset) -> str:
    """E.g. "245 pictures (ants 124, bees 121)"."""
    of = Counter(s.label for s in dataset)
    names = dataset.classes or tuple(str(i) for i in range(1 + max((i for i in of if i is not None), default=-1)))
    return f"{count_of(len(dataset), 'picture')} ({some([f'{name} {of[i]}' for i, name in enumerate(names)], 12)})"


def _folders(path: Path, data: Data, seed: int, own_names: bool) -> tuple[Dataset, Dataset, tuple[str, ...]]:
    """The training and the validation pictures of a folder without boxes, and how its folders were read.

    Args:
        own_names: the validation pictures keep the names of their own classes, which are to be mapped.
    """
    if not path.is_dir():
        return *_held_out(load_dataset(path), data, seed), ()
    named = {p.name: p for p in subfolders(path)}
    if data.val or data.train != "train":  # the recipe says which is which
        root, held = _of_name(named, data.train), [p for p in [_of_name(named, data.val or "")] if p]
        found = SplitFolders()
    else:
        found = split_folders(path)
        root, held = found.splits.get("train"), [found.splits[k] for k in ("val", "test") if k in found.splits]
    if root is not None and held:
        left = [p.name for p in named.values() if p not in (root, held[0]) and holds_pictures(p)]
        notes = (
            found.notes
            if found.notes or not left
            else (f"beside {root.name} and {held[0].name} left out: {some(left)}",)
        )
        train = load_dataset(root)
        return train, load_dataset(held[0], None if own_names else train.classes), notes
    if data.val or (root is not None and not found.flat):
        raise DataError(
            f"{path} has no folder of validation pictures.",
            got="only " + some(sorted(named)),
            expected=" or ".join(f"{name}/" for name in ((data.val,) if data.val else VALIDATION)),
            fix=f"move some pictures there, or name {root or path / data.train} itself: a share of it is then held out",
        )
    return *_held_out(load_dataset(path), data, seed), ()


def _of_name(folders: Mapping[str, Path], name: str) -> Path | None:
    """The folder of this name, in any case."""
    return folders.get(name) or next((p for other, p in folders.items() if other.casefold() == name.casefold()), None)


def _imbalance(train: Dataset, val: Dataset) -> list[str]:
    """Warnings about classes that are rare in training, or absent in validation."""
    if not train.labelled or not train.classes:
        return []
    of, held = Counter(s.label for s in train), Counter(s.label for s in val)
    names = train.classes
    there = sorted((of[i], name) for i, name in enumerate(names) if of[i])
    notes = []
    if there[-1][0] >= IMBALANCED * there[0][0]:
        notes.append(
            f"WARNING: training has {there[-1][0]} pictures of {there[-1][1]} and {there[0][0]} of {there[0][1]}: a "
            "net that never says the rare one is right nearly always. More pictures of it help, or "
            "--set schedule.class_balance=sample"
        )
    absent = [name for i, name in enumerate(names) if of[i] and not held[i]]
    if absent:
        notes.append(
            f"WARNING: validation has no picture of {some(absent)}: how often it is recognised, and with it the "
            "balanced accuracy, is not measured"
        )
    return notes


def _annotated(path: Path, data: Data, seed: int, own_names: bool, truth: str | None = None) -> tuple[Dataset, Dataset]:
    if path.suffix == ".json" or (is_split(path) and not any((path / name).is_file() for name in CONFIGS)):
        return _held_out(load_dataset(path, truth=truth), data, seed)  # one split of a larger set, or one without any
    if truth == "masks" and not splits_of(path):
        return _held_out(load_dataset(path, split="all", truth=truth), data, seed)
    try:
        train = load_dataset(path, split=data.train, truth=truth)
    except SplitError:
        if data.train != "train":
            raise
        return _held_out(load_dataset(path, split="all", truth=truth), data, seed)
    for name in (data.val,) if data.val else VALIDATION:
        try:
            return train, load_dataset(path, None if own_names else train.classes, split=name, truth=truth)
        except SplitError:
            if data.val:
                raise
    return _held_out(train, data, seed)


def _held_out(whole: Dataset, data: Data, seed: int) -> tuple[Dataset, Dataset]:
    if len(whole) < 2:
        raise DataError("There are too few pictures to hold some out.", got=f"{len(whole)}", expected="two a class")
    train, val = split_by_group(whole, data.val_share, seed, by_pattern(data.group) if data.group else None)
    if data.group:
        return train, val
    return replace(train, notes=(*train.notes, *clips.proposal(whole))), val


def _shared(train: Dataset, val: Dataset) -> tuple[str, ...]:
    if train.layout == "made":
        return ()  # of different seeds; boards look alike to a hash
    known = {s.content(): s for s in track(train.samples, "looking for training pictures in validation")}
    same = [f"{s.name} = {_called(known[c], s, train)}" for s in val if (c := s.content()) in known]
    notes = []
    if same:
        notes.append(
            f"WARNING: {len(same)} validation pictures are also in training, so the estimate is too good: {some(same)}"
        )
    warning = near_duplicates(train, val).warning()
    return (*notes, *((warning,) if warning else ()), *clips.shared(train, val))


def _called(there: Sample, here: Sample, train: Dataset) -> str:
    """The name of a training picture that is also in validation, with its class if that is another one there."""
    other = there.label is not None and there.label != here.label
    return there.name + (f" (as {train.classes[there.label or 0]} there)" if other and train.classes else "")
