"""YOLO: a data.yaml, pictures under images/ and one text file a picture under labels/.

Each row is `class cx cy w h`, in parts of the upright picture's width and height, or `class x1 y1 x2 y2 x3 y3 ...`, a
polygon, which becomes its bounding box (docs.ultralytics.com/datasets/detect and /segment).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgekit.data.annotations import ALL, Box, Collector, choose_split
from edgekit.data.orientation import Size
from edgekit.data.sample import Dataset, some
from edgekit.data.yaml_subset import Value, YamlError, sections, value
from edgekit.errors import DataError
from edgekit.vision.image import scan_pictures

CONFIGS = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_SPLITS = ("train", "val", "valid", "validation", "test")


@dataclass(frozen=True)
class Config:
    """What a data.yaml says: class names in order, and the folders or lists of each split, as written."""

    file: Path
    root: str
    names: tuple[str, ...]
    splits: dict[str, tuple[str, ...]]


def load_yolo(path: Path, classes: Sequence[str] | None = None, split: str | None = None) -> Dataset:
    """The pictures of one split of a YOLO data set.

    Args:
        path: its data.yaml, the folder with it, or a folder with images/ and labels/ (its own or its parent's
            data.yaml, or `classes`, has the names; `split` means nothing there).
        classes: the model's. Without them those of the data.yaml.
        split: as in the data.yaml, or "all". Without it the held-out one: val, else test.

    Raises:
        DataError: an unreadable data.yaml, no such split or folder, a class number beyond the names, no picture.

    A picture without a label file has no objects, as YOLO takes it, and is noted; one with a label file that cannot
    be read is left out and noted.
    """
    config_file = find_config(path)
    if path.is_dir() and (config_file is None or config_file.parent != path):
        names = read_config(config_file).names if config_file else tuple(classes or ())
        if not names:
            raise DataError(
                f"{path} does not say what its classes are called.",
                got="images/ and labels/ without a data.yaml",
                expected="a data.yaml with names",
            )
        return _load(path, names, classes, [path / "images"], ())
    assert config_file is not None
    config = read_config(config_file)
    chosen = list(config.splits) if split == ALL else [choose_split(list(config.splits), split, config_file)]
    left = [name for name in config.splits if name not in chosen]
    notes = []
    if split is None:
        notes = [f"{chosen[0]} was taken" + (f", beside it left out: {some(left)}" if left else "")]
    places: list[Path] = []
    for entry in dict.fromkeys(e for name in chosen for e in config.splits[name]):
        place, note = _place(config, entry)
        places.append(place)
        notes += note
    return _load(config_file.parent, config.names, classes, places, tuple(notes))


def find_config(path: Path) -> Path | None:
    """The data.yaml that `path` is or holds, or that its parent holds where `path` has images/ and labels/."""
    if path.is_file():
        return path
    here = next((path / name for name in CONFIGS if (path / name).is_file()), None)
    if here is None and is_split(path):
        here = next((path.parent / name for name in CONFIGS if (path.parent / name).is_file()), None)
    return here


def is_split(path: Path) -> bool:
    """Whether `path` holds pictures in images/ and texts in labels/."""
    return (path / "images").is_dir() and (path / "labels").is_dir()


def read_config(file: Path) -> Config:
    """What a data.yaml says. Raises DataError."""
    try:
        found = sections(file.read_text(encoding="utf-8-sig"))
        given = {key: value(found[key]) for key in ("path", "names", "nc", *_SPLITS) if key in found}
    except (OSError, UnicodeDecodeError, YamlError) as error:
        raise DataError(
            f"{file} cannot be read.",
            got=str(error),
            expected="names, and train, val or test, as plain YAML",
            fix='write it simply, for example: names: ["bee", "hornet"]',
        ) from error
    names = _names(file, given.get("names"))
    count = given.get("nc")
    if count is not None and count != str(len(names)):
        raise DataError(f"{file} contradicts itself.", got=f"nc: {count} and {len(names)} names", expected="one number")
    splits = {k: _entries(file, given[k]) for k in _SPLITS if given.get(k) not in (None, "", "null", "~")}
    root = given.get("path", "")
    return Config(file, root if isinstance(root, str) else "", names, splits)


def _names(file: Path, given: Value | None) -> tuple[str, ...]:
    if isinstance(given, dict) and sorted(given) == sorted(map(str, range(len(given)))):
        given = [given[str(i)] for i in range(len(given))]
    if not isinstance(given, list) or not given or not all(given) or len(set(given)) != len(given):
        raise DataError(
            f"{file} does not say what its classes are called.",
            got=f"names: {given!r}"[:200] if given else "no names",
            expected="a list of different names, or a mapping from 0, 1, 2, ...",
        )
    return tuple(given)


def _entries(file: Path, given: Value) -> tuple[str, ...]:
    if isinstance(given, dict):
        raise DataError(f"{file} has a split that is no place.", got=str(given), expected="a path or several")
    return (given,) if isinstance(given, str) else tuple(given)


def _place(config: Config, entry: str) -> tuple[Path, list[str]]:
    """Where a split lies, and a note if that is not where the file says."""
    here = config.file.parent
    tried = [here / config.root / entry]  # an absolute part takes the place of what stands before it
    plain = entry
    while plain.startswith("../"):  # Roboflow writes ../train/images beside train; Ultralytics reads it so too
        plain = plain[3:]
        tried.append(here / plain)
    tried.append(here / entry)
    for place in tried:
        if place.exists():
            note = f"{entry} was not there, {place} was taken for it"
            return place, [] if place == tried[0] else [note]
    raise DataError(
        f"{config.file} names a place that is not there.",
        got=entry,
        expected=" or ".join(dict.fromkeys(map(str, tried))),
        fix="correct path, train, val or test in it",
    )


def _load(
    root: Path, names: tuple[str, ...], classes: Sequence[str] | None, places: Sequence[Path], notes: tuple[str, ...]
) -> Dataset:
    collector = Collector(root, names, classes)
    others: tuple[str, ...] = ()
    for place in places:
        for picture in _pictures(place):
            _add(collector, picture, len(names))
        if place.is_dir():
            strangers = [p for p in scan_pictures(place)[1] if p.suffix != ".txt" and p.suffix != ".cache"]
            others += tuple(collector.name(p) for p in strangers)
    if others:
        notes += (f"{len(others)} left out, not pictures by their suffix: {some(others)}",)
    return collector.dataset("yolo", notes)


def _pictures(place: Path) -> list[Path]:
    if place.is_dir():
        return scan_pictures(place)[0]
    try:
        lines = place.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{place} cannot be read as a list of pictures.", got=str(error)) from error
    return [place.parent / line.strip() for line in lines if line.strip()]


def label_file(picture: Path) -> Path:
    """labels/x.txt for images/x.jpg, by the last folder called images; without one the text beside the picture."""
    parts = list(picture.parts)
    for i in range(len(parts) - 2, -1, -1):
        if parts[i] == "images":
            parts[i] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _add(collector: Collector, picture: Path, classes: int) -> None:
    size = collector.check(picture)
    if size is None:
        return
    name, file = collector.name(picture), label_file(picture)
    boxes: list[Box] = []
    if not file.is_file():
        collector.say("picture(s) without a label file, taken as without objects", name)
    else:
        try:
            rows = file.read_text(encoding="utf-8-sig").splitlines()
            for number, row in enumerate(rows, 1):
                if row.strip():
                    box, polygon = _box(row.split(), size)
                    if not 0 <= box.label < classes:
                        raise DataError(
                            f"{file} line {number} has a class that does not exist.",
                            got=str(box.label),
                            expected=f"0 to {classes - 1}",
                            fix="correct the row, or the names in data.yaml",
                        )
                    boxes.append(box)
                    if polygon:
                        collector.say("polygon row(s), taken as their bounding boxes", f"{name} line {number}")
        except (OSError, ValueError) as error:  # UnicodeDecodeError is a ValueError
            collector.say("left out, labels that cannot be read", f"{name} ({error})")
            return
    collector.add(picture, size, boxes)


def _box(cells: list[str], size: Size) -> tuple[Box, bool]:
    """One row, and whether it is a polygon. Raises ValueError."""
    try:
        numbers = [float(c) for c in cells]
    except ValueError as error:
        raise ValueError(f"not numbers: {' '.join(cells)[:60]}") from error
    polygon = len(numbers) >= 7 and len(numbers) % 2 == 1
    if not (len(numbers) == 5 or polygon) or not numbers[0].is_integer():
        raise ValueError(f"{len(numbers)} numbers, not class cx cy w h: {' '.join(cells)[:60]}")
    w, h = size.width, size.height
    if polygon:
        x, y = np.array(numbers[1::2]) * w, np.array(numbers[2::2]) * h
        return Box((float(x.min()), float(y.min()), float(x.max()), float(y.max())), int(numbers[0])), True
    cx, cy, bw, bh = numbers[1] * w, numbers[2] * h, numbers[3] * w, numbers[4] * h
    return Box((cx - bw / 2, cy - bh / 2, cx + bw / 2, cy + bh / 2), int(numbers[0])), False
