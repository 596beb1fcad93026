"""What label files lie below a folder, and of which format they are."""

from __future__ import annotations

import codecs
import os
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from edgekit.data.layouts.files.entry import Format
from edgekit.data.layouts.files.parts import PARTS, root_of
from edgekit.data.layouts.split_folders import subfolders
from edgekit.data.names import split_of
from edgekit.reading import in_utf8, is_file
from edgekit.vision.find import holds_pictures, scan

# Formats of label files, in the order that they are tried: each a file NAME in formats/ with its FORMAT
FORMATS = (
    "platforms.datumaro",
    "platforms.fiftyone",
    "platforms.hasty",
    "platforms.scale",
    "platforms.encord",
    "platforms.superannotate",
    "platforms.dataloop",
    "platforms.openlabel",
    "platforms.ibm",
    "platforms.unity",
    "coco_json",
    "voc_xml",
    "cvat_xml",
    "labelme",
    "label_studio",
    "via",
    "createml",
    "supervisely",
    "vott",
    "bdd",
    "manifest",
    "darwin",
    "labelbox",
    "tables.runs",
    "tables.boxes",
    "rows.yolo",
    "rows.kitti",
    "rows.dota",
    "rows.visdrone",
    "rows.wider",
    "rows.frames",
    "rows.picture_lines",
    "rows.records",
    "rows.named",
    "rows.bbox_label_tool",
)
_TRIED = 64  # files of one suffix that are looked into before a format is given up
_HEAD, _TAIL = 256 * 1024, 64 * 1024  # bytes of a file that a format sees


@dataclass(frozen=True)
class Survey:
    """The label files of one format below `root`, all other files that are no pictures, and the pictures."""

    root: Path
    format: Format
    files: tuple[Path, ...]
    others: tuple[Path, ...]
    pictures: tuple[Path, ...]


def formats() -> tuple[Format, ...]:
    """All of them, in order."""
    return tuple(import_module(f"edgekit.data.layouts.formats.{name}").FORMAT for name in FORMATS)


def survey(path: Path) -> Survey | None:
    """The label files below the folder `path`, or the file `path` itself, of the first format that has some."""
    single = is_file(path)
    root = root_of(path) if single else path
    found = scan(root)
    others = [path] if single else found.others
    heads: dict[Path, bytes] = {}
    for kind in formats():
        mine = [file for file in others if file.suffix.lower() in kind.suffixes and is_file(file)]
        some = [file for file in mine[:_TRIED] if kind.fits(file, _head(file, heads))]
        if not some:
            continue
        fitting = {file for file in mine if kind.fits(file, _head(file, heads)) or kind.belongs(file, heads[file])}
        files = tuple(file for file in mine if file in fitting)
        return Survey(root, kind, files, tuple(found.others), tuple(found.pictures))
    return None


def format_of(file: Path) -> Format | None:
    """The format of one label file."""
    heads: dict[Path, bytes] = {}
    fitting = (kind for kind in formats() if file.suffix.lower() in kind.suffixes)
    return next((kind for kind in fitting if kind.fits(file, _head(file, heads))), None)


def are_classes(path: Path) -> list[Path]:
    """The folders of pictures below `path` that have names of their own, if there are two at least."""
    own = [p for p in subfolders(path) if p.name.casefold() not in PARTS and not split_of(p.name) and holds_pictures(p)]
    return own if len(own) > 1 else []


def _head(file: Path, known: dict[Path, bytes]) -> bytes:
    """The first and the last bytes of a file, b"" for one that cannot be read."""
    if file not in known:
        try:
            with file.open("rb") as stream:
                data = stream.read(_HEAD)
                size = os.fstat(stream.fileno()).st_size
                if size > _HEAD:
                    stream.seek(max(_HEAD, size - _TAIL))
                    wide = data[:2] if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else b""
                    data = in_utf8(data, part=True) + b"\n" + in_utf8(wide + stream.read(_TAIL), part=True)
        except OSError:
            data = b""
        known[file] = in_utf8(data, part=True)
    return known[file]
