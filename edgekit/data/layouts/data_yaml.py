"""What a YOLO set's data.yaml says: the classes' names, where each split lies, and how many keypoints a row has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.data.names import SPLITS
from edgekit.errors import DataError
from edgekit.reading import read_text
from edgekit.reading.limits import SETTINGS, RefusedError
from edgekit.reading.yaml_ import load_yaml
from edgekit.screen import count_of

CONFIGS = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_SPLITS = tuple(name for names in SPLITS.values() for name in names)
_MOST = 16  # YAMLs of other names that are looked into
_NOTHING = (None, "", "null", "Null", "NULL", "~")  # YAML's ways to say so, and a key that is not there


@dataclass(frozen=True)
class Config:
    """What a data.yaml says: class names in order, the folders or lists of each split, as written, and how many numbers
    of keypoints stand behind a box."""

    file: Path
    root: str
    names: tuple[str, ...]
    splits: dict[str, tuple[str, ...]]
    keypoints: int = 0


def find_config(path: Path) -> Path | None:
    """The data.yaml that `path` is or holds, or that its parent holds where `path` has images/ and labels/."""
    if path.is_file():
        return path
    here = _config_in(path)
    return _config_in(path.parent) if here is None and is_split(path) else here


def _config_in(folder: Path) -> Path | None:
    """The one of a usual name, else the only YAML in it that has names and splits."""
    usual = next((folder / name for name in CONFIGS if (folder / name).is_file()), None)
    if usual is not None or not folder.is_dir():
        return usual
    others = [file for file in sorted(folder.iterdir()) if file.suffix.lower() in (".yaml", ".yml") and file.is_file()]
    found = [file for file in others[:_MOST] if _is_config(file)]
    return found[0] if len(found) == 1 else None


def _is_config(file: Path) -> bool:
    try:
        given = load_yaml(read_text(file, SETTINGS))
    except (OSError, ValueError):
        return False
    return isinstance(given, dict) and "names" in given and any(given.get(k) not in _NOTHING for k in _SPLITS)


def is_split(path: Path) -> bool:
    """Whether `path` holds pictures in images/ and texts in labels/."""
    names = {p.name.lower() for p in path.iterdir() if p.is_dir()} if path.is_dir() else set()
    return {"images", "labels"} <= names


def read_config(file: Path) -> Config:
    """What a data.yaml says. Raises DataError, and BackendError where PyYAML is not installed."""
    try:
        given = load_yaml(read_text(file, SETTINGS))
        if not isinstance(given, dict):
            raise RefusedError(f"{'a list' if isinstance(given, list) else 'a text'}, not keys with values")
    except (OSError, ValueError) as error:
        raise DataError(
            f"{file} cannot be read.",
            got=str(error),
            expected="names, and train, val or test, as YAML",
            fix='for example: names: ["bee", "hornet"]',
        ) from error
    names = _names(file, given.get("names"))
    count = given.get("nc")
    if count is not None and count != str(len(names)):
        raise DataError(
            f"{file} contradicts itself.", got=f"nc: {count} and {count_of(len(names), 'name')}", expected="one number"
        )
    splits = {k: _entries(file, given[k]) for k in _SPLITS if given.get(k) not in _NOTHING}
    root = given.get("path", "")
    return Config(file, root if isinstance(root, str) else "", names, splits, _keypoints(file, given.get("kpt_shape")))


def _keypoints(file: Path, given: Any) -> int:
    """How many numbers the keypoints of a row are, by `kpt_shape: [17, 3]`."""
    if given in _NOTHING:
        return 0
    texts = _texts(given)
    if texts is None or len(texts) != 2 or not all(n.isdecimal() and len(n) < 5 for n in texts):
        raise DataError(
            f"{file} has a kpt_shape that cannot be used.", got=str(given), expected="two numbers, such as [17, 3]"
        )
    return int(texts[0]) * int(texts[1])


def _names(file: Path, given: Any) -> tuple[str, ...]:
    if isinstance(given, dict) and sorted(given) == sorted(map(str, range(len(given)))):
        given = [given[str(i)] for i in range(len(given))]
    names = _texts(given)
    if not names or not all(names) or len(set(names)) != len(names):
        raise DataError(
            f"{file} does not say what its classes are called.",
            got=f"names: {given!r}"[:200] if given else "no names",
            expected="a list of different names, or a mapping from 0, 1, 2, ...",
        )
    return names


def _entries(file: Path, given: Any) -> tuple[str, ...]:
    places = _texts([given] if isinstance(given, str) else given)
    if places is None:
        raise DataError(f"{file} has a split that is not a path.", got=str(given), expected="a path or several")
    return places


def _texts(given: Any) -> tuple[str, ...] | None:
    """A list of texts; None for anything else."""
    texts = isinstance(given, list) and all(isinstance(item, str) for item in given)
    return tuple(given) if texts else None
