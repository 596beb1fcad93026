"""Pascal VOC: JPEGImages/x.jpg, Annotations/x.xml, and the split lists ImageSets/Main/*.txt.

VOC's pixels are counted from 1 and both ends belong to the box (VOC2007 devkit, sec. 3.3), so xmin..xmax is
xmin - 1 .. xmax in continuous pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from edgekit.data.annotations import ALL, Box, Collector, choose_split, unlisted
from edgekit.data.orientation import Size, upright
from edgekit.data.sample import Dataset, some
from edgekit.errors import DataError
from edgekit.vision.image import scan_pictures

_LARGEST = 16 * 2**20  # bytes; a VOC file has 1 to 100 KB


def is_voc(path: Path) -> bool:
    """Whether `path` holds XML in Annotations/."""
    folder = path / "Annotations"
    return folder.is_dir() and any(p.suffix.lower() == ".xml" for p in folder.iterdir())


def load_voc(path: Path, classes: Sequence[str] | None = None, split: str | None = None) -> Dataset:
    """The pictures of one split of a Pascal VOC data set.

    Args:
        path: the folder with Annotations/ and JPEGImages/ (or pictures beside the XML).
        classes: the model's. Without them the sorted names of all objects in all of Annotations/, so that the
            splits have the same classes.
        split: a list of ImageSets/Main, or "all". Without it the held-out one: val, else test; without lists all.

    Raises:
        DataError: no such split, no picture, or an object that is none of `classes`.

    Objects marked difficult are set aside (`Sample.aside_boxes`). Pictures whose XML is missing or cannot be read are
    left out and noted.
    """
    parsed: dict[str, Element | str] = {}
    for file in sorted((path / "Annotations").rglob("*.xml")):
        parsed[file.relative_to(path / "Annotations").with_suffix("").as_posix()] = _read(file)
    roots = [root for root in parsed.values() if isinstance(root, Element)]
    names = sorted({(o.findtext("name") or "").strip() for root in roots for o in root.iter("object")})
    if not names or names[0] == "":
        raise DataError(
            f"{path / 'Annotations'} has {'an object without a name' if names else 'no objects'}.",
            got=f"{len(parsed)} XML files, {len(roots)} of them readable",
            expected="<object><name>...</name><bndbox>...</bndbox></object>",
        )
    chosen, notes = _chosen(path, list(parsed), split)
    folder = path / "JPEGImages" if (path / "JPEGImages").is_dir() else path / "Annotations"
    pictures = {p.relative_to(folder).with_suffix("").as_posix(): p for p in scan_pictures(folder)[0]}
    collector = Collector(path, names, classes)
    taken: set[Path] = set()
    for key in chosen:
        root, picture = parsed.get(key), pictures.get(key)
        if picture is None:
            collector.say(f"left out, no picture in {folder.name}", key)
            continue
        taken.add(picture.resolve())
        if not isinstance(root, Element):
            collector.say("left out, labels that cannot be read", f"{key} ({root or 'no XML'})")
            continue
        size = collector.check(picture)
        if size is not None:
            _add(collector, picture, root, size, names)
    if split is None and not _lists(path):
        notes += unlisted(folder, taken, "without XML")
    return collector.dataset("voc", notes)


def _chosen(path: Path, keys: list[str], split: str | None) -> tuple[list[str], tuple[str, ...]]:
    """The names of the pictures in the split, in its order, and a note."""
    lists = _lists(path)
    if split == ALL or (split is None and not lists):
        return keys, ()
    name = choose_split(list(lists), split, path)
    try:
        rows = lists[name].read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{lists[name]} cannot be read.", got=str(error), expected="one name a line") from error
    left = [other for other in lists if other != name]
    note = f"{name} was taken" + (f", beside it left out: {some(left)}" if left else "")
    return [row.split()[0] for row in rows if row.strip()], (note,) if split is None else ()


def _lists(path: Path) -> dict[str, Path]:
    """The split lists, without VOC's lists of one class (cat_val.txt), which have a 1, 0 or -1 behind each name."""
    folder = path / "ImageSets" / "Main"
    files = sorted(folder.glob("*.txt")) if folder.is_dir() else []
    return {p.stem: p for p in files if not _of_one_class(p)}


def _of_one_class(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.readline(4096).split()[1:] in ([b"1"], [b"0"], [b"-1"])


def _add(collector: Collector, picture: Path, root: Element, size: Size, names: list[str]) -> None:
    name = collector.name(picture)
    stated = tuple(_number(root.find("size"), tag) for tag in ("width", "height"))
    turned = size.orientation >= 5 and stated == (size.height, size.width) != (size.width, size.height)
    if turned:
        collector.say("boxes turned upright with the picture (EXIF)", name)
    elif min(stated) > 0 and stated != (size.width, size.height):
        text = f"{name} ({stated[0]:g} x {stated[1]:g} stated, {size.width} x {size.height} found)"
        collector.say("picture(s) of another size than their labels state", text)
    boxes = []
    for item in root.iter("object"):
        box = item.find("bndbox")
        x1, y1, x2, y2 = (_number(box, tag) for tag in ("xmin", "ymin", "xmax", "ymax"))
        # Equal ends would be one pixel in VOC's counting; every tool that writes them means a click that was no box
        xyxy = (x1 - 1, y1 - 1, x2, y2) if x2 > x1 and y2 > y1 else (x1 - 1, y1 - 1, x2 - 1, y2 - 1)
        label = names.index((item.findtext("name") or "").strip())
        boxes.append(Box(upright(xyxy, size) if turned else xyxy, label, aside=_number(item, "difficult") == 1))
    collector.add(picture, size, boxes)


def _number(node: Element | None, tag: str) -> float:
    """The number in a tag; NaN where it is none or a box has none, 0 where another tag (difficult) is missing."""
    text = None if node is None else node.findtext(tag)
    try:
        return float(text) if text is not None else math.nan if node is None or node.tag == "bndbox" else 0.0
    except ValueError:
        return math.nan


def _read(file: Path) -> Element | str:
    """The root of an annotation, or why there is none. A document type is refused, and with it every entity."""
    builder = TreeBuilder()
    parser = expat.ParserCreate()

    def refuse(*_: Any) -> None:
        raise ValueError("a document type, which labels do not need and attacks do")

    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    try:
        if file.stat().st_size > _LARGEST:
            return f"larger than {_LARGEST // 2**20} MB"
        parser.Parse(file.read_bytes(), True)
        root = builder.close()
    except (OSError, ValueError, LookupError, expat.ExpatError) as error:
        return str(error)
    return root if root.tag == "annotation" else f"<{root.tag}>, not <annotation>"
