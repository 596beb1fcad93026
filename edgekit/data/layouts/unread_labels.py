"""Labels in layouts that edgekit does not read: pictures beside them are not taken as if they had none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from edgekit.data.names import split_of
from edgekit.errors import LayoutError
from edgekit.reading import is_file
from edgekit.screen import some
from edgekit.vision.find import scan

KNOWN = (
    "class folders; a table labels.csv (file,class_index or file,class); YOLO (data.yaml beside images/ and labels/); "
    "Pascal VOC (Annotations/x.xml and JPEGImages/x.jpg); COCO (annotations/instances_*.json, or Roboflow's "
    "_annotations.coco.json)"
)
# what tools call the folders that they put pictures or labels in; never classes
_PARTS = frozenset(
    {"images", "image", "imgs", "img", "jpegimages", "pictures", "photos", "annotations", "labels", "data"}
    | {"obj_train_data", "obj_valid_data", "obj_test_data"}
)
_BY_NAME = frozenset({"obj.data", "obj.names", "classes.txt", "notes.json"})
_MARKS = {
    ".xml": re.compile(rb"<annotation\b"),  # VOC, labelme's XML, CVAT's annotations.xml
    ".json": re.compile(rb'"(shapes|imagePath|annotations|categories|regions|labels)"\s*:'),
    ".csv": re.compile(rb"(?i)\b(xmin|x_min|x1)\b"),
    ".txt": re.compile(rb"\A\s*\d+(\s+[-+.\deE]+){4,}\s*$", re.MULTILINE),  # a row of YOLO
}
_TRIED, _HEAD = 64, 65536  # files looked into, and bytes of each


def refuse_unread(path: Path, folders: Sequence[Path] = ()) -> None:
    """Looks for label files among what would be taken as plain pictures, or as the class folders `folders`.

    Two class folders or more with names of their own are believed, and what lies beside the pictures is not looked at.

    Raises:
        LayoutError: there are some; names the first.
    """
    own = [p for p in folders if p.name.casefold() not in _PARTS and not split_of(p.name)]
    if len(own) > 1:
        return
    pictures, others, _ = scan(path)
    named = [p for p in others if p.name.casefold() in _BY_NAME]
    tried = [p for p in others if p not in named and p.suffix.lower() in _MARKS][:_TRIED]
    marked = [p for p in tried if is_file(p) and _marked(p)]
    if marked or any(p.name.startswith("obj.") for p in named):
        raise unread(path, [p.relative_to(path).as_posix() for p in (*named, *marked)], len(pictures))


def unread(path: Path, seen: Sequence[str], pictures: int) -> LayoutError:
    """The error that names what was seen."""
    return LayoutError(
        f"{path} has labels in a layout that edgekit does not read.",
        got=f"{some(seen)}" + (f", with {pictures} pictures" if pictures else ""),
        expected=KNOWN,
        fix="export or convert the labels to one of these",
    )


def _marked(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            return _MARKS[file.suffix.lower()].search(stream.read(_HEAD)) is not None
    except OSError:
        return False
