"""Labels in layouts that edgekit does not read: pictures beside them are not taken as if they had none."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from edgekit.data.layouts.files.parts import PARTS
from edgekit.data.names import split_of
from edgekit.errors import LayoutError
from edgekit.reading import in_utf8, is_file
from edgekit.screen import count_of, some
from edgekit.vision.find import scan

KNOWN = (
    "class folders; a table labels.csv (file,class_index or file,class); YOLO (data.yaml beside images/ and labels/, "
    "or texts beside the pictures and a classes.txt, CVAT's and Darknet's obj.names); Pascal VOC (Annotations/x.xml, "
    "JPEGImages/x.jpg, or XML anywhere); COCO JSON; the JSON of labelme, Label Studio, VIA, Create ML, "
    "Supervisely, VoTT, BDD, Darwin, Labelbox, Datumaro, FiftyOne, Hasty, Scale AI, Encord, SuperAnnotate, Dataloop, "
    "OpenLABEL; KITTI, DOTA, MOT, VisDrone, WIDER FACE; "
    "CVAT's annotations.xml; tables of boxes (filename,class,xmin,ymin,xmax,ymax and the like)"
)
# names of folders that tools put pictures or labels in, never classes, are survey's
_BY_NAME = frozenset({"obj.data", "obj.names", "classes.txt", "notes.json"})
_MARKS = {
    ".xml": re.compile(rb"<(annotation|annotations|dataset|object|bndbox|box)\b"),
    ".json": re.compile(
        rb'(?i)\\?"(\w*annotations|shapes|imagePath|categories|regions|labels|topX|\w*bbox|box2d|bounding_?box|\w*boxes|polygon|objects)\\?"\s*:'
    ),
    ".csv": re.compile(
        rb"(?i)\b(xmin|x_min|x1|bbox|rectanglelabels|polygonlabels|spatial_coordinates|polygons?|segmentation)\b"
        rb"""|["']x["']+\s*:"""  # boxes as JSON or Python in a cell
    ),
    # a row of four numbers or more, perhaps behind a class or a picture, as many programs write them
    ".txt": re.compile(rb"^[ \t]*(?:[^\d\s][^\n]*?[ \t,])?(?:[-+]?[.\d]+[ ,\t]+){3,}[-+]?[.\d]+", re.MULTILINE),
}
_MARKS |= dict.fromkeys((".jsonl", ".ndjson", ".manifest", ".odgt"), _MARKS[".json"])
# containers whose pictures and boxes are packed into one file, and what to do about each
_PACKED = {
    ".tfrecord": "TFRecords pack pictures and boxes in TensorFlow's own way: export the set as COCO or YOLO instead",
    ".mat": "MATLAB's .mat is not read: write the boxes as a table, filename,class,xmin,ymin,xmax,ymax",
    ".parquet": "Parquet is not read: write the pictures as files and the boxes as COCO JSON",
    ".arrow": "Arrow is not read: write the pictures as files and the boxes as COCO JSON",
    ".mdb": "LMDB is not read: write the pictures as files and the boxes as COCO JSON",
    ".h5": "HDF5 is not read: write the pictures as files and the boxes as COCO JSON",
    ".zip": "unpack it first",
    ".tar": "unpack it first",
    ".tgz": "unpack it first",
    ".gz": "unpack it first",
    ".7z": "unpack it first",
    ".rar": "unpack it first",
}
_RECORD = re.compile(r"(?i)\.(tfrecords?|records?|tfrec)(-\d+-of-\d+)?$")
_TRIED, _HEAD = 64, 65536  # files looked into, and bytes of each


def refuse_unread(path: Path, folders: Sequence[Path] = ()) -> None:
    """Looks for label files among what would be taken as plain pictures, or as the class folders `folders`.

    Two class folders or more with names of their own are believed, and what lies beside the pictures is not looked at.

    Raises:
        LayoutError: there are some; names the first.
    """
    own = [p for p in folders if p.name.casefold() not in PARTS and not split_of(p.name)]
    if len(own) > 1:
        return
    pictures, others, _ = scan(path)
    packed = [p for p in others if _packed(p)]
    named = [p for p in others if p.name.casefold() in _BY_NAME]
    tried = [p for p in others if p not in named and p.suffix.lower() in _MARKS and not _is_readme(p)][:_TRIED]
    marked = [p for p in tried if is_file(p) and _marked(p)]
    if packed and not (pictures and any(_packed(p) == _PACKED[".zip"] for p in packed)):
        raise unread(path, [p.relative_to(path).as_posix() for p in packed], len(pictures), _packed(packed[0]))
    if marked or any(p.name.startswith("obj.") for p in named):
        raise unread(path, [p.relative_to(path).as_posix() for p in (*named, *marked)], len(pictures))


def refuse_packed(file: Path) -> None:
    """Raises LayoutError for one file that packs a data set."""
    if fix := _packed(file):
        raise LayoutError(f"{file} is a data set packed into one file.", got=file.suffix, expected=KNOWN, fix=fix)


def _packed(file: Path) -> str:
    """What to do about a container, "" for other files."""
    return _PACKED[".tfrecord"] if _RECORD.search(file.name) else _PACKED.get(file.suffix.lower(), "")


def unread(path: Path, seen: Sequence[str], pictures: int, fix: str = "") -> LayoutError:
    """The error that names what was seen, and what to do."""
    return LayoutError(
        f"{path} has labels in a layout that edgekit does not read.",
        got=f"{some(seen)}" + (f", with {count_of(pictures, 'picture')}" if pictures else ""),
        expected=KNOWN,
        fix=fix or "export or convert the labels to one of these",
    )


def _is_readme(file: Path) -> bool:
    return file.name.casefold().startswith(("readme", "license"))


def _marked(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            return _MARKS[file.suffix.lower()].search(in_utf8(stream.read(_HEAD), part=True)) is not None
    except OSError:
        return False
