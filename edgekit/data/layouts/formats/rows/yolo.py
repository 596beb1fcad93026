"""YOLO's rows in a text file of each picture, wherever it lies: LabelImg, Darknet, CVAT's YOLO 1.1, Label Studio.

Class names are those of the nearest data.yaml, classes.txt, obj.names, *.names or notes.json in the folders around.
"""

from __future__ import annotations

import re
from pathlib import Path

from edgekit.data.drawn_mask import Outline
from edgekit.data.layouts.data_yaml import CONFIGS, read_config
from edgekit.data.layouts.files.entry import Entry, Format, Read, Shape
from edgekit.data.layouts.files.splits import darknet_data, names_file
from edgekit.data.layouts.unread_labels import KNOWN
from edgekit.data.layouts.yolo_box import yolo_box
from edgekit.data.names import plain, split_of
from edgekit.data.orientation import Size
from edgekit.errors import DataError, LayoutError
from edgekit.reading import read_json, read_text
from edgekit.reading.limits import LABELS, SETTINGS
from edgekit.screen import some

LISTS = ("classes.txt", "obj.names", "_darknet.labels", "predefined_classes.txt", "labels.txt", "class_names.txt",
         "classes.names", "names.txt")  # fmt: skip
_ROW = re.compile(rb"\A\s*\d+(?:\.0+)?(?:[ \t]+[-+]?(?:\d+\.?\d*|\.\d+|nan|inf)(?:[eE][-+]?\d+)?){4,}[ \t]*\r?$", re.M)
_UNIT = Size(1, 1)


def _fits(file: Path, head: bytes) -> bool:
    return not _is_other(file) and _ROW.search(head) is not None


def _belongs(file: Path, head: bytes) -> bool:
    return not _is_other(file) and not head.strip()


def _is_other(file: Path) -> bool:
    name = file.name.casefold()
    return name in LISTS or bool(split_of(file.stem)) or name.startswith("readme")


def _read(file: Path, root: Path) -> Read:
    names, keypoints = class_names(file, root)
    rows = read_text(file, LABELS).splitlines()
    shapes = []
    number = 0
    try:
        for number, row in enumerate(rows, 1):
            if row.strip():
                shapes.append(_shape(file, row.split(), number, names, keypoints))
    except ValueError as error:
        return Read((Entry(("",), problem=f"line {number} ({error})"),), names)
    return Read((Entry(("",), tuple(shapes), parts=True),), names)


def _shape(file: Path, cells: list[str], number: int, names: tuple[str, ...], keypoints: int) -> Shape:
    box, kind = yolo_box(cells, _UNIT, keypoints, number)
    if not 0 <= box.label < len(names):
        raise DataError(
            f"{file} line {number} has a class that does not exist.",
            got=str(box.label),
            expected=f"0 to {len(names) - 1} ({some(names, 10)})",
            fix="correct the row, or the list of class names",
        )
    ring = tuple(float(v) for v in cells[1:]) if len(cells) >= 7 and len(cells) % 2 and not keypoints else ()
    return Shape(names[box.label], box.xyxy, box.where, outline=Outline((ring,)) if ring else None, note=kind)


def class_names(file: Path, root: Path) -> tuple[tuple[str, ...], int]:
    """The names of the numbers in a label file, and how many numbers of keypoints its rows have.

    Raises:
        LayoutError: nothing says them.
    """
    found = names_of(file, root)
    if found is None:
        raise LayoutError(
            f"{root} does not say what its classes are called.",
            got=f"rows of numbers as {file.name} has them, without a list of names",
            expected=f"a classes.txt beside them, a name a line, or a data.yaml with names. What is read: {KNOWN}",
        )
    if found.suffix.lower() in (".yaml", ".yml"):
        config = read_config(found)
        return config.names, config.keypoints
    return _listed(found), 0


def names_of(file: Path, root: Path) -> Path | None:
    """The list of names that is nearest to a label file, around it or anywhere below `root`."""
    found = names_file(file, root, (*CONFIGS, *LISTS, "notes.json"), ("*.names", "*.labels", "*.yaml", "*.yml"))
    if found is None:
        everywhere = sorted(p for name in (*LISTS, "*.names", *CONFIGS, "notes.json") for p in root.rglob(name))
        found = everywhere[0] if everywhere else _by_data(root)
    return found


def _by_data(root: Path) -> Path | None:
    """The list that a Darknet .data file names, under whatever name."""
    for data in sorted(root.rglob("*.data")):
        name = darknet_data(data).get("names", "").replace("\\", "/").rpartition("/")[2]
        if name and (found := sorted(root.rglob(name))):
            return found[0]
    return None


def _listed(file: Path) -> tuple[str, ...]:
    try:
        if file.suffix == ".json":
            items = read_json(file, SETTINGS)["categories"]
            return tuple(plain(str(c["name"])) for c in sorted(items, key=lambda c: int(c["id"])))
        names = [plain(row) for row in read_text(file, SETTINGS).splitlines()]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(f"{file} cannot be read.", got=str(error), expected="a class name a line") from error
    while names and not names[-1]:
        names.pop()
    if not names:
        raise DataError(f"{file} names no classes.", got="an empty file", expected="a class name a line")
    return tuple(name or f"class {i}" for i, name in enumerate(names))


FORMAT = Format(
    "yolo",
    frozenset({".txt"}),
    _fits,
    _read,
    "YOLO's rows in a text of each picture",
    each=True,
    missing_is_empty=True,
    belongs=_belongs,
)
