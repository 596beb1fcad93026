"""Pascal VOC: JPEGImages/x.jpg, Annotations/x.xml, and the split lists ImageSets/Main/*.txt.

VOC's pixels are counted from 1 and both ends belong to the box (VOC2007 devkit, sec. 3.3), so xmin..xmax is
xmin - 1 .. xmax in continuous pixels.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence, Set
from pathlib import Path, PurePosixPath
from xml.etree.ElementTree import Element

from edgekit.data.layouts.annotations import Box, Collector, choose_split, unlisted
from edgekit.data.layouts.files.counted import NOTE, Shift, counted, moved
from edgekit.data.names import ALL, plain, written_differently
from edgekit.data.orientation import Size, upright
from edgekit.data.sample import Dataset
from edgekit.errors import DataError
from edgekit.progress import track
from edgekit.reading import read_text
from edgekit.reading.limits import LIST, MB
from edgekit.reading.xml_ import LINE, read_xml
from edgekit.screen import some
from edgekit.vision.clutter import clutter_note, is_clutter
from edgekit.vision.find import SUFFIXES, scan

_LARGEST = 4 * MB  # a VOC file has 1 to 100 KB; an element takes 40 times its bytes in memory
OUTLINED = "{object} with an outline and no box, the box around taken"
_FLAGS = (["1"], ["0"], ["-1"])  # behind a name in VOC's lists of one class


def is_voc(path: Path) -> bool:
    """Whether `path` holds XML in Annotations/."""
    folder = path / "Annotations"
    return folder.is_dir() and any(p.suffix.lower() == ".xml" and not is_clutter(p.name) for p in folder.iterdir())


def load_voc(path: Path, classes: Sequence[str] | None = None, split: str | None = None) -> Dataset:
    """The pictures of one split of a Pascal VOC data set.

    Args:
        path: the folder with Annotations/ and JPEGImages/ (or pictures beside the XML).
        classes: the model's. Without them the sorted names of all objects in all of Annotations/, so that the
            splits have the same classes.
        split: a list of ImageSets/Main, or "all". Without it the held-out one: val, else test; without lists all.

    Raises:
        DataError: no such split, no picture, or an object that is none of `classes`.

    Objects marked difficult are set aside (`Sample.ignored_boxes`). Of an object without a box that has a polygon or a
    turned box, the bounding box of that is taken; swapped corners are swapped. Pictures whose XML is missing or cannot
    be read, or has an object without a name or a box, are left out and noted.
    """
    parsed: dict[str, Element | str] = {}
    for file in sorted(p for p in (path / "Annotations").rglob("*.xml") if not is_clutter(p.name)):
        parsed[plain(file.relative_to(path / "Annotations").with_suffix("").as_posix())] = _read(file)
    roots = [root for root in parsed.values() if isinstance(root, Element)]
    names = sorted({name for root in roots for o in root.iter("object") if (name := name_of(o))})
    if not names:
        problems = [f"{key}.xml ({root})" for key, root in parsed.items() if isinstance(root, str)]
        raise DataError(
            f"{path / 'Annotations'} has no objects with a name.",
            got=f"{len(parsed)} XML files, {len(roots)} of them readable" + (f"; {problems[0]}" if problems else ""),
            expected="<object><name>...</name><bndbox>...</bndbox></object>",
        )
    folder = path / "JPEGImages" if (path / "JPEGImages").is_dir() else path / "Annotations"
    scanned = scan(folder)
    pictures = {plain(p.relative_to(folder).with_suffix("").as_posix()): p for p in scanned.pictures}
    chosen, notes = _chosen(path, list(parsed), parsed.keys() | pictures.keys(), split)
    notes += clutter_note(scanned.clutter, folder)
    notes += written_differently(sorted({o.findtext("name") or "" for root in roots for o in root.iter("object")}))
    collector = Collector(path, names, classes)
    every = ((corners(item), root) for root in roots for item in root.iter("object"))
    zero = counted((xyxy, _stated(root)) for (xyxy, kind), root in every if kind != OUTLINED)
    taken: set[Path] = set()
    for key in track(chosen, "reading labels"):
        root, picture = parsed.get(key), pictures.get(key)
        if picture is None:
            collector.say(f"left out, no picture in {folder.name}", key)
            continue
        taken.add(picture.resolve())
        if not isinstance(root, Element):
            collector.say("left out, labels that cannot be read", f"{key} ({root or 'no XML'})")
            continue
        nameless = [o for o in root.iter("object") if not name_of(o)]
        if nameless:
            text = f"{key}.xml line {nameless[0].get(LINE)}"
            collector.say("left out, with an object that has no name", text)
            continue
        size = collector.check(picture)
        if size is not None:
            _add(collector, picture, root, size, names, zero)
    if split is None and not _lists(path, frozenset()):
        notes += unlisted(folder, taken, "without XML")
    return collector.dataset("voc", notes)


def _chosen(path: Path, keys: list[str], known: Set[str], split: str | None) -> tuple[list[str], tuple[str, ...]]:
    """The names of the pictures in the split, in its order, and notes."""
    lists = _lists(path, known)
    if split == ALL or (split is None and not lists):
        return keys, ()
    name = choose_split(list(lists), split, path)
    rows = _rows(lists[name])
    left = [other for other in lists if other != name]
    notes: tuple[str, ...] = ()
    if split is None:
        notes = (f"{name} was taken" + (f", beside it left out: {some(left)}" if left else ""),)
    found = [_key(row, known) for row in rows]
    lost = [f"line {n} ({row})" for n, (row, key) in enumerate(zip(rows, found, strict=True), 1) if row and not key]
    if lost:
        notes += (f"{len(lost)} left out, in {lists[name].name} and neither a picture nor XML: {some(lost)}",)
    return list(dict.fromkeys(key for key in found if key)), notes


def _key(row: str, known: Set[str]) -> str:
    """The name of a row's picture without its suffix: as it stands, or a whole path or file name; "" if unknown.

    Behind the name may stand VOC's 1, 0 or -1.
    """
    text = plain(row).replace("\\", "/")
    for name in (text, text.rpartition(" ")[0].strip() if text.split()[-1:] in _FLAGS else ""):
        stem = name.rpartition(".")[0] if PurePosixPath(name).suffix.lower() in (*SUFFIXES, ".xml") else name
        parts = PurePosixPath(stem).parts
        for tried in (name, *("/".join(parts[i:]) for i in range(len(parts)))):
            if tried and tried in known:
                return tried
    return ""


def _rows(file: Path) -> list[str]:
    try:
        return [row.strip() for row in read_text(file, LIST).splitlines()]
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read.", got=str(error), expected="one name a line") from error


def _lists(path: Path, known: Set[str]) -> dict[str, Path]:
    """The split lists, without VOC's lists of one class (cat_val.txt), which have a 1, 0 or -1 behind each name."""
    folder = path / "ImageSets" / "Main"
    files = sorted(folder.glob("*.txt")) if folder.is_dir() else []
    return {p.stem: p for p in files if not is_clutter(p.name) and not _of_one_class(p, known)}


def _of_one_class(file: Path, known: Set[str]) -> bool:
    with file.open("rb") as stream:
        first = stream.readline(4096).decode("utf-8-sig", "replace").strip()
    return first.split()[1:] in _FLAGS and first not in known  # a name may end in " 1" too


def _add(collector: Collector, picture: Path, root: Element, size: Size, names: list[str], zero: Shift | None) -> None:
    name = collector.name(picture)
    stated = _stated(root)
    turned = size.orientation >= 5 and stated == (size.height, size.width) != (size.width, size.height)
    if turned:
        collector.say("{box} turned upright with the picture (EXIF)", name)
    boxes = []
    for item in root.iter("object"):
        xyxy, kind = corners(item)
        if zero and kind != OUTLINED:
            xyxy, kind = moved(xyxy, zero), kind or NOTE
        where = f"line {item.get(LINE)}"
        if kind:
            collector.say(kind, f"{name} {where}")
        label, ignored = names.index(name_of(item)), number_in(item, "difficult") == 1
        boxes.append(Box(upright(xyxy, size) if turned else xyxy, label, ignored=ignored, where=where))
    collector.add(picture, size, boxes, None if turned else stated)


def _stated(root: Element) -> tuple[float, float]:
    width, height = (number_in(root.find("size"), tag) for tag in ("width", "height"))
    return width, height


def corners(item: Element) -> tuple[tuple[float, float, float, float], str]:
    """An object's box in continuous pixels, and the note it deserves, or none."""
    box = item.find("bndbox")
    ends = [number_in(box, tag) for tag in ("xmin", "ymin", "xmax", "ymax")]
    kind = ""
    if not all(map(math.isfinite, ends)):
        points = outline_of(item)
        if not points:
            return (math.nan, math.nan, math.nan, math.nan), ""
        xs, ys = [x for x, _ in points], [y for _, y in points]
        ends = [min(xs), min(ys), max(xs), max(ys)]
        kind = OUTLINED
        if item.find("polygon") is None:  # a centre and sides are no pixels that are counted
            return (ends[0], ends[1], ends[2], ends[3]), kind
    x1, y1, x2, y2 = ends
    if x1 > x2 or y1 > y2:
        kind = "{box} with swapped corners, swapped"
        x1, y1, x2, y2 = min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)
    # Equal ends would be one pixel in VOC's counting; every tool that writes them means a click that was no box
    return ((x1 - 1, y1 - 1, x2, y2) if x2 > x1 and y2 > y1 else (x1 - 1, y1 - 1, x2 - 1, y2 - 1)), kind


def outline_of(item: Element) -> list[tuple[float, float]]:
    """The points of a <polygon>, as x1 y1 x2 y2 (Roboflow) or pt/x pt/y (labelme), or of roLabelImg's <robndbox>."""
    polygon, turned = item.find("polygon"), item.find("robndbox")
    if polygon is not None:
        points = [(number_in(pt, "x", math.nan), number_in(pt, "y", math.nan)) for pt in polygon.iter("pt")]
        count = sum(1 for node in polygon if re.fullmatch(r"x\d+", node.tag))
        points += [
            (number_in(polygon, f"x{i}", math.nan), number_in(polygon, f"y{i}", math.nan)) for i in range(1, count + 1)
        ]
        return points if len(points) > 2 and all(math.isfinite(v) for point in points for v in point) else []
    if turned is not None:
        cx, cy, w, h, angle = (number_in(turned, tag, math.nan) for tag in ("cx", "cy", "w", "h", "angle"))
        if not all(map(math.isfinite, (cx, cy, w, h, angle))):
            return []
        c, s = math.cos(angle), math.sin(angle)  # radians
        half = ((w * c + h * s) / 2, (w * s - h * c) / 2, (w * c - h * s) / 2, (w * s + h * c) / 2)
        x, y = max(abs(half[0]), abs(half[2])), max(abs(half[1]), abs(half[3]))
        return [(cx - x, cy - y), (cx + x, cy + y)]
    return []


def name_of(item: Element) -> str:
    return plain(item.findtext("name") or "")


def number_in(node: Element | None, tag: str, missing: float | None = None) -> float:
    """The number in a tag, NaN where it is none; `missing` for no such tag, else NaN in a box and 0 elsewhere."""
    text = None if node is None else node.findtext(tag)
    if missing is None:
        missing = math.nan if node is None or node.tag == "bndbox" else 0.0
    try:
        return float(text) if text is not None else missing
    except ValueError:
        return math.nan


def _read(file: Path) -> Element | str:
    """The root of an annotation, each object with its line, or why there is none."""
    try:
        return read_annotation(file)
    except (OSError, ValueError, LookupError) as error:
        return str(error)


def read_annotation(file: Path) -> Element:
    """The root of an annotation, each object with its line. Raises OSError, ValueError and LookupError."""
    root = read_xml(file, _LARGEST, ("object",))
    if root.tag != "annotation":
        raise ValueError(f"<{root.tag}>, not <annotation>")
    return root
