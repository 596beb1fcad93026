"""YOLO: a data.yaml, pictures under images/ and one text file a picture under labels/.

Each row is `class cx cy w h`, in parts of the upright picture's width and height, or `class x1 y1 x2 y2 x3 y3 ...`, a
polygon, which becomes its bounding box (docs.ultralytics.com/datasets/detect and /segment). Where the data.yaml has a
kpt_shape, keypoints follow the box and are not read (/pose).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PureWindowsPath

from edgekit.data.layouts.annotations import Box, Collector, choose_split
from edgekit.data.layouts.data_yaml import Config, find_config, is_split, read_config
from edgekit.data.layouts.files.survey import survey
from edgekit.data.layouts.formats.rows.yolo import names_of
from edgekit.data.layouts.label_files import add, load_label_files, read_all
from edgekit.data.layouts.unread_labels import KNOWN
from edgekit.data.layouts.yolo_box import yolo_box
from edgekit.data.names import ALL, existing, plain, split_of
from edgekit.data.pictures import no_pictures
from edgekit.data.sample import Dataset
from edgekit.errors import DataError, LayoutError
from edgekit.progress import track
from edgekit.reading import exists, is_file, read_text
from edgekit.reading.limits import LABELS, LIST
from edgekit.screen import count_of, some
from edgekit.vision.clutter import clutter_note, is_clutter
from edgekit.vision.find import scan


def load_yolo(path: Path, classes: Sequence[str] | None = None, split: str | None = None) -> Dataset:
    """The pictures of one split of a YOLO data set.

    Args:
        path: its data.yaml, the folder with it, or a folder with images/ and labels/ (its own or its parent's
            data.yaml, or `classes`, has the names; `split` means nothing there).
        classes: the model's. Without them those of the data.yaml.
        split: as in the data.yaml, or "all". Without it the held-out one: val, else test.

    Raises:
        DataError: an unreadable data.yaml, no such split or folder, a class number beyond the names, no picture, or no
            label file for any of them.

    A picture without a label file has no objects, as YOLO takes it, and is noted; one with a label file that cannot
    be read is left out and noted.
    """
    config_file = find_config(path)
    if path.is_dir() and (config_file is None or config_file.parent != path):
        config = read_config(config_file) if config_file else Config(path, "", tuple(classes or ()), {})
        if not config.names:
            seen = sorted(p.name + ("/" if p.is_dir() else "") for p in path.iterdir() if not is_clutter(p.name))
            raise LayoutError(
                f"{path} does not say what its classes are called.",
                got=f"{some(seen, 10)} without a data.yaml",
                expected=f"a data.yaml with names. What is read: {KNOWN}",
            )
        return _load(
            path, config, classes, [p for p in path.iterdir() if p.is_dir() and p.name.lower() == "images"], ()
        )
    assert config_file is not None
    config = read_config(config_file)
    if not config.splits and survey(config_file.parent) is not None:  # names alone
        return load_label_files(config_file.parent, classes, split)
    chosen = list(config.splits) if split == ALL else [choose_split(list(config.splits), split, config_file)]
    left = [name for name in config.splits if name not in chosen]
    notes = []
    if split is None:
        notes = [f"{chosen[0]} was taken" + (f", beside it left out: {some(left)}" if left else "")]
    places: list[Path] = []
    missing: list[DataError] = []
    for entry in dict.fromkeys(e for name in chosen for e in config.splits[name]):
        try:
            place, note = _place(config, entry)
        except DataError as error:
            missing.append(error)
            continue
        places.append(place)
        notes += note
    if missing and (split != ALL or not places):
        raise missing[0]
    notes += [f"WARNING: {config_file.name} names {error.got}, which is not there" for error in missing]
    if any("was not there" in note for note in notes):
        _refuse_one_place(config)
    return _load(config_file.parent, config, classes, places, tuple(notes))


def is_yolo(path: Path) -> bool:
    """Whether the folder `path` has a data.yaml, or images/ and labels/ with another list of names around or none."""
    if find_config(path) is not None:
        return True
    found = survey(path) if is_split(path) else None
    return is_split(path) and (
        found is None or (found.format.name == "yolo" and names_of(found.files[0], path) is None)
    )


def _place(config: Config, entry: str) -> tuple[Path, list[str]]:
    """Where a split lies, and a note if that is not where the file says."""
    here = config.file.parent
    inner = [part for part in PureWindowsPath(config.root).parts if part not in (".", "..") and part[-1] not in "\\/:"]
    tried = _tried([here / config.root, here, *(here / Path(*inner[i:]) for i in range(len(inner)))], entry)
    for place in tried:
        if exists(place):
            note = f"{entry} was not there, {place} was taken for it"
            return place, [] if place == tried[0] else [note]
    raise DataError(
        f"{config.file} names a place that is not there.",
        got=entry,
        expected=" or ".join(map(str, tried)),
        fix="correct path, train, val or test in it",
    )


def _tried(bases: Sequence[Path], entry: str) -> list[Path]:
    """Where `entry` may lie: as it stands below each base, then without one leading folder after the other.

    Roboflow writes ../train/images beside train (Ultralytics reads it so too), its downloader NAME/train/images, and
    who moves a set leaves /content/NAME/train/images behind. What is left must still tell splits apart.
    """
    found = [base / entry for base in bases]  # an absolute entry takes the place of what stands before it
    parts = [part for part in PureWindowsPath(entry).parts if part not in (".", "..") and part[-1] not in "\\/:"]
    while len(parts) > 1 or (parts and (split_of(parts[0]) or "." in parts[0])):
        found += [base / Path(*parts) for base in reversed(bases)]
        parts = parts[1:]
    return list(dict.fromkeys(found))


def _refuse_one_place(config: Config) -> None:
    """Raises DataError where two entries that differ were found at one place: their difference was stripped."""
    entries: dict[Path, str] = {}
    for entry in dict.fromkeys(e for mine in config.splits.values() for e in mine):
        try:
            place = _place(config, entry)[0].resolve()
        except DataError:
            continue
        if entries.setdefault(place, entry) != entry:
            raise DataError(
                f"{config.file} names places that are not there, and one folder would be taken for two of them.",
                got=f"{place} for {entries[place]} and for {entry}",
                expected="a folder of its own for each split",
                fix="correct path, train, val or test in it",
            )


def _load(
    root: Path, config: Config, classes: Sequence[str] | None, places: Sequence[Path], notes: tuple[str, ...]
) -> Dataset:
    collector = Collector(root, config.names, classes)
    others: list[Path] = []
    without = 0
    for place in places:
        if place.is_dir():
            pictures, strangers, clutter = scan(place)
            others += [p for p in strangers if p.suffix not in (".txt", ".cache")]
            notes += clutter_note(clutter, place)
        else:
            pictures = _listed(place, config)
        for picture in track(pictures, "reading labels"):
            without += _add(collector, picture, config)
    notes += no_pictures(others, collector.root)
    if without and without == len(collector.samples):
        if (elsewhere := _elsewhere(collector, config)) is not None:
            return elsewhere.dataset("yolo", notes)
        raise DataError(
            f"None of the pictures in {root} has a label file.",
            got=f"{count_of(without, 'picture')}, and no {label_file(collector.samples[0].path or root)}",
            expected="labels/x.txt for images/x.jpg, also where a picture has no objects",
            fix="copy the labels too",
        )
    return collector.dataset("yolo", notes)


def _elsewhere(collector: Collector, config: Config) -> Collector | None:
    """The same pictures with texts of rows that lie where YOLO does not look for them; None where there are none."""
    found = survey(collector.root)
    if found is None or found.format.name != "yolo":
        return None
    known = read_all(found)
    pictures = [sample.path for sample in collector.samples if sample.path is not None]
    if not any(picture in known.entries for picture in pictures):
        return None
    again = Collector(collector.root, config.names, collector.classes)
    index = {plain(name): i for i, name in enumerate(config.names)}
    for picture in pictures:
        add(again, picture, known.entries.get(picture, ()), index)
    return again


def _listed(place: Path, config: Config) -> list[Path]:
    """The pictures that a list names, one a line, relative to it or to the data set."""
    try:
        lines = read_text(place, LIST).splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{place} cannot be read as a list of pictures.", got=str(error)) from error
    bases = list(dict.fromkeys((place.parent, config.file.parent / config.root, config.file.parent)))
    found = []
    for line in filter(None, (line.replace("\0", "?").strip() for line in lines)):
        tried = _tried(bases, line)
        found.append(next((path for path in map(existing, tried) if is_file(path)), tried[0]))
    return found


def label_file(picture: Path) -> Path:
    """labels/x.txt for images/x.jpg, by the last folder called images; without one the text beside the picture."""
    parts = list(picture.parts)
    for i in range(len(parts) - 2, -1, -1):
        if parts[i].lower() == "images":
            parts[i] = "Labels" if parts[i][0] == "I" and Path(*parts[:i], "Labels").is_dir() else "labels"
            break
    return existing(Path(*parts).with_suffix(".txt"))


def _add(collector: Collector, picture: Path, config: Config) -> bool:
    """Whether the picture was taken without a label file."""
    size = collector.check(picture)
    if size is None:
        return False
    name, file = collector.name(picture), label_file(picture)
    if not is_file(file):
        collector.say("{picture} without a label file, taken as without objects", name)
        collector.add(picture, size, ())
        return True
    boxes: list[Box] = []
    try:
        rows = read_text(file, LABELS).splitlines()
    except (OSError, ValueError) as error:
        collector.say("left out, labels that cannot be read", f"{name} ({error})")
        return False
    number = 0
    try:
        for number, row in enumerate(rows, 1):
            if row.strip():
                box, kind = yolo_box(row.split(), size, config.keypoints, number)
                if not 0 <= box.label < len(config.names):
                    raise DataError(
                        f"{file} line {number} has a class that does not exist.",
                        got=str(box.label),
                        expected=f"0 to {len(config.names) - 1}",
                        fix="correct the row, or the names in data.yaml",
                    )
                boxes.append(box)
                if kind:
                    collector.say(kind, f"{name} line {number}")
    except ValueError as error:
        collector.say("left out, labels that cannot be read", f"{name} line {number} ({error})")
    else:
        collector.add(picture, size, boxes)
    return False
