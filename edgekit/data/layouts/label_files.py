"""Pictures and label files that lie anywhere below a folder, in the format of a program: `formats/` has one file each.

Each label file says which picture it means; `files/pictures.py` finds it again, `files/splits.py` says of which split.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.data.layouts.annotations import EVERY_CLASS, Box, Collector, choose_split
from edgekit.data.layouts.files.entry import NO_CLASS, Entry, Read, Shape
from edgekit.data.layouts.files.pictures import SEVERAL, Pictures
from edgekit.data.layouts.files.split_names import split_of_path
from edgekit.data.layouts.files.splits import lists_in
from edgekit.data.layouts.files.survey import Survey, are_classes, survey
from edgekit.data.layouts.files.units import are_parts, as_parts
from edgekit.data.names import ALL, plain
from edgekit.data.orientation import Size, upright
from edgekit.data.pictures import left_out
from edgekit.data.sample import Dataset
from edgekit.errors import DataError, LayoutError
from edgekit.progress import track
from edgekit.screen import count_of, some

OF_A_PICTURE = frozenset({".txt", ".xml", ".json"})  # what label files of one picture end with


@dataclass(frozen=True)
class Found:
    """All label files of a set, read.

    Attributes:
        survey: which files there are.
        names: classes, in the order of the set's own list, else sorted.
        entries: of each picture what is said of it, with the file that says it.
        lost: entries whose picture is not there, and why.
        splits: the pictures of each split; empty where there are none.
        notes: of splits.
        unreadable: label files that cannot be read, and why.
    """

    survey: Survey
    names: tuple[str, ...]
    entries: dict[Path, list[tuple[Path, Entry]]]
    lost: tuple[str, ...]
    splits: dict[str, list[Path]]
    notes: tuple[str, ...]
    unreadable: tuple[str, ...]


def is_label_files(path: Path) -> bool:
    """Whether there are label files of a known format below the folder `path`, or it is one.

    Two class folders or more with names of their own are believed, unless half of the pictures in them have boxes and
    the boxes have other names.
    """
    found = survey(path)
    if found is None:
        return False
    own = are_classes(path) if path.is_dir() else []
    if not own:
        return True
    try:
        known = read_all(found)
    except DataError:
        return True  # which is told when they are read
    boxed = [p for p, said in known.entries.items() if any(entry.shapes or entry.problem for _, entry in said)]
    if not boxed and any(SEVERAL in text for text in known.lost):
        return True  # in cam1/ and cam2/, and which is meant has to be told
    folders = {plain(p.name).casefold() for p in own}
    return len(boxed) * 2 >= len(found.pictures) and not folders & {name.casefold() for name in known.names}


def load_label_files(path: Path, classes: Sequence[str] | None = None, split: str | None = None) -> Dataset:
    """The pictures of one split that label files tell of.

    Args:
        path: a folder, or one label file of it.
        classes: the model's. Without them those of the set.
        split: `val` and the like, or "all". Without it the held-out one: val, else test; without splits all.

    Raises:
        DataError: no such split, no picture can be used, or an object that is none of `classes`.

    Pictures whose labels cannot be read are left out and noted, and so are those that no label file tells of; of
    formats in which an empty picture has no file they are pictures without objects.
    """
    found = survey(path)
    assert found is not None
    known = read_all(found)
    if not known.names:
        raise no_objects(known)
    chosen, notes = choose(known, split, path)
    collector = Collector(found.root, known.names, classes)
    index = {name: i for i, name in enumerate(known.names)}
    for picture in track(chosen, "reading labels"):
        add(collector, picture, known.entries.get(picture, []), index)
    for text in known.lost:
        collector.say("{label} without a picture, left out", text)
    for text in known.unreadable:
        collector.say("{label file} that cannot be read", text)
    unlisted = [] if found.format.missing_is_empty else [p for p in found.pictures if p not in known.entries]
    notes += left_out(unlisted, found.root, f"no label file ({found.format.about}) tells of them")
    stems = {picture.stem for picture in unlisted}
    passed = [f for f in found.others if f.stem in stems and f.suffix.lower() in OF_A_PICTURE and f not in found.files]
    if passed:
        names = some(sorted(file.relative_to(found.root).as_posix() for file in passed))
        notes += (f"WARNING: only {found.format.about} was read, and not {names}: two kinds of labels",)
    return collector.dataset(found.format.name, notes)


def no_objects(known: Found) -> LayoutError:
    """The error about label files without a single object."""
    problems = [
        f"{p.relative_to(known.survey.root).as_posix()} ({entry.problem})"
        for p, said in known.entries.items()
        for _, entry in said
        if entry.problem
    ]
    said = [*known.unreadable, *problems, *known.lost] or ["no object in any of them"]
    return LayoutError(
        f"{known.survey.root} has label files without an object that can be used.",
        got=f"{count_of(len(known.survey.files), 'file')} ({known.survey.format.about}): {some(said)}",
        expected="boxes with class names",
    )


def read_all(found: Survey) -> Found:
    """Everything that the label files say, joined to the pictures."""
    pictures = Pictures(found.root, found.pictures)
    own: dict[str, None] = {}
    seen: set[str] = set()
    entries: dict[Path, list[tuple[Path, Entry]]] = {}
    stated: dict[Path, str] = {}
    lost, unreadable = [], []
    for file in found.files:
        relative = file.relative_to(found.root).as_posix() if file.is_relative_to(found.root) else file.name
        try:
            read = found.format.read(file, found.root)
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            if not found.format.each:
                text = str(error)
                raise DataError(f"{file} cannot be read.", got=text, expected=found.format.about) from error
            read = Read((Entry(("",), problem=str(error)),))
            if isinstance(pictures.find(("",), file), str):
                unreadable.append(f"{relative} ({error})")
                continue
        own |= dict.fromkeys(map(plain, read.names))
        split = "" if found.format.each else split_of_path(file, file.parent, name_says=True)
        near = split or split_of_path(file, found.root, name_says=False)
        for entry in read.entries:
            seen |= {plain(shape.name) for shape in entry.shapes if shape.name != NO_CLASS}
            picture = pictures.find(entry.pictures, file, entry.split or near)
            if isinstance(picture, str):
                if entry.shapes or found.format.name != "yolo":
                    name = next(filter(None, entry.pictures), "")
                    lost.append(f"{name or relative} ({picture})" if name else f"{relative} ({picture})")
                continue
            entries.setdefault(picture, []).append((file, entry))
            if mine := entry.split or split:
                stated.setdefault(picture, mine)
    if found.format.settle is not None:
        every = [(p, file, entry) for p, said in entries.items() for file, entry in said]
        settled = found.format.settle([entry for _, _, entry in every])
        entries = {p: [] for p in entries}
        for (picture, file, _), entry in zip(every, settled, strict=True):
            entries[picture].append((file, entry))
    if are_parts(_pixels(entries)):
        entries = {p: [(file, as_parts(entry)) for file, entry in said] for p, said in entries.items()}
    names = tuple(own) + tuple(sorted(seen - set(own)))
    everything = list(entries) + [p for p in found.pictures if p not in entries and found.format.missing_is_empty]
    splits, notes = _splits(found, everything, entries, stated, pictures)
    return Found(found, names, entries, tuple(lost), splits, notes, tuple(unreadable))


def _pixels(entries: dict[Path, list[tuple[Path, Entry]]]) -> Iterator[float]:
    """All numbers of boxes that are said to be pixels."""
    for said in entries.values():
        yield from (v for _, entry in said if not entry.parts for shape in entry.shapes for v in shape.xyxy)


def _splits(
    found: Survey,
    everything: Sequence[Path],
    entries: dict[Path, list[tuple[Path, Entry]]],
    stated: dict[Path, str],
    pictures: Pictures,
) -> tuple[dict[str, list[Path]], tuple[str, ...]]:
    known = set(everything)
    lists = {
        name: [p for p in rows if p in known] for name, rows in lists_in(found.root, found.others, pictures).items()
    }
    lists = {name: rows for name, rows in lists.items() if rows}
    if len(lists) == 1 and "train" in lists and not stated and set(lists["train"]) == known:
        return {}, ()  # a list of all pictures, which some programs always call train.txt
    if lists:
        return lists, _outside(known - {p for rows in lists.values() for p in rows}, found.root)
    splits: dict[str, list[Path]] = {}
    for picture in everything:
        files = [file for file, _ in entries.get(picture, ())]
        name = stated.get(picture) or split_of_path(picture, found.root, name_says=False)
        name = name or next((s for file in files if (s := split_of_path(file, found.root, name_says=False))), "")
        splits.setdefault(name, []).append(picture)
    none = splits.pop("", [])
    if list(splits) == ["train"] and not none and set(stated.values()) == {"train"} and len(stated) == len(known):
        folders = {split_of_path(p, found.root, name_says=False) for p in everything}
        return ({}, ()) if folders == {""} else (splits, ())  # one file of all, called train.json or marked so
    return splits, _outside(none, found.root) if splits else ()


def _outside(pictures: set[Path] | list[Path], root: Path) -> tuple[str, ...]:
    return left_out(sorted(pictures), root, 'in no split, read only with split="all"')


def choose(known: Found, split: str | None, path: Path) -> tuple[list[Path], tuple[str, ...]]:
    """The pictures of a split, and notes."""
    everything = list(known.entries)
    if known.survey.format.missing_is_empty:
        everything = [*known.survey.pictures]
    if split == ALL or (split is None and not known.splits):
        return everything, ()
    name = choose_split(list(known.splits), split, path)
    left = [other for other in known.splits if other != name]
    taken = (f"{name} was taken" + (f", beside it left out: {some(left)}" if left else ""),) if split is None else ()
    return known.splits[name], (*taken, *known.notes)


def add(collector: Collector, picture: Path, said: Sequence[tuple[Path, Entry]], index: dict[str, int]) -> None:
    """One picture with all that is said of it."""
    name = collector.name(picture)
    size = collector.check(picture)
    if size is None:
        return
    problem = next((entry.problem for _, entry in said if entry.problem), "")
    if problem:
        collector.say("left out, labels that cannot be read", f"{name} ({problem})")
        return
    if not said:
        collector.say("{picture} without a label file, taken as without objects", name)
    boxes: list[Box] = []
    stated = None
    for _, entry in said:
        if entry.ignore:
            collector.say(entry.ignore, name)
        turned = is_turned(entry, size)
        if turned:
            collector.say("{box} turned upright with the picture (EXIF)", name)
        elif not entry.parts:
            stated = stated or entry.size
        for shape in entry.shapes:
            if shape.note:
                collector.say(shape.note, f"{name} {shape.where}".strip())
            boxes.append(_box(shape, entry, size, turned, index))
    collector.add(picture, size, boxes, stated)


def is_turned(entry: Entry, size: Size) -> bool:
    """Whether the objects were drawn on the picture as it is stored, whose sides its EXIF orientation swaps."""
    stated = entry.size
    return size.orientation >= 5 and stated == (size.height, size.width) and stated != (size.width, size.height)


def _box(shape: Shape, entry: Entry, size: Size, turned: bool, index: dict[str, int]) -> Box:
    x1, y1, x2, y2 = shape.xyxy
    if entry.parts:
        w, h = (size.height, size.width) if turned else (size.width, size.height)
        x1, y1, x2, y2 = x1 * w, y1 * h, x2 * w, y2 * h
    xyxy = upright((x1, y1, x2, y2), size) if turned else (x1, y1, x2, y2)
    label = EVERY_CLASS if shape.name == NO_CLASS and shape.ignored else index[plain(shape.name)]
    return Box(xyxy, label, shape.area, shape.ignored, shape.where)
