"""Pascal VOC: Annotations/x.xml, JPEGImages/x.jpg and ImageSets/Main/<split>.txt (VOC2007 devkit, sec. 3.3).

VOC counts pixels from 1 and both ends belong to a box, so x1..x2 in continuous pixels is xmin = x1 + 1, xmax = x2.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from edgekit.data.writing.picture import Layout, Placed, areas_lost, outlines_lost
from edgekit.errors import DataError
from edgekit.screen import count_of, some

_LEAST = (
    1.001  # pixels: a narrower box has its ends in the wrong order, or on one pixel, which readers take for a click
)


def _texts(pictures: Sequence[Placed], classes: Sequence[str]) -> dict[Path, str]:
    unheld = [name for name in classes if not name.isprintable()]
    if unheld:
        raise DataError("XML cannot hold control characters.", got=some([ascii(n) for n in unheld]), expected="names")
    found = {Path("Annotations", one.file).with_suffix(".xml"): _annotation(one, classes) for one in pictures}
    for split in dict.fromkeys(one.split for one in pictures):
        rows = [Path(one.file).with_suffix("").as_posix() for one in pictures if one.split == split]
        found[Path("ImageSets", "Main", f"{split}.txt")] = "".join(f"{row}\n" for row in rows)
    return found


def _annotation(one: Placed, classes: Sequence[str]) -> str:
    lines = [
        "<annotation>",
        "  <folder>JPEGImages</folder>",
        f"  <filename>{escape(one.file)}</filename>",
        f"  <size><width>{one.width}</width><height>{one.height}</height><depth>3</depth></size>",
        "  <segmented>0</segmented>",
    ]
    for box, label, difficult in _objects(one):
        ends = zip(("xmin", "ymin", "xmax", "ymax"), _ends(box, one), strict=True)
        lines += [
            "  <object>",
            f"    <name>{escape(classes[label])}</name>",
            "    <pose>Unspecified</pose>",
            "    <truncated>0</truncated>",
            f"    <difficult>{difficult}</difficult>",
            "    <bndbox>" + "".join(f"<{tag}>{_number(end)}</{tag}>" for tag, end in ends) + "</bndbox>",
            "  </object>",
        ]
    return "\n".join([*lines, "</annotation>", ""])


def _objects(one: Placed) -> Iterator[tuple[list[float], int, int]]:
    """Boxes in continuous pixels, their classes, and whether they are set aside: VOC's difficult objects."""
    for boxes, labels, difficult in ((one.boxes(), one.labels(), 0), (one.aside(), one.aside_labels(), 1)):
        yield from ((box, label, difficult) for box, label in zip(boxes.tolist(), labels, strict=True))


def _ends(box: list[float], one: Placed) -> tuple[float, float, float, float]:
    """xmin ymin xmax ymax as VOC counts, at least `_LEAST` apart in continuous pixels and inside the picture."""
    (x1, x2), (y1, y2) = _span(box[0], box[2], one.width), _span(box[1], box[3], one.height)
    return x1 + 1, y1 + 1, x2, y2


def _span(low: float, high: float, size: int) -> tuple[float, float]:
    if high - low > _LEAST or size < _LEAST:
        return low, high
    start = min(max(0.0, (low + high - _LEAST) / 2), size - _LEAST)
    return start, start + _LEAST


def _number(value: float) -> str:
    """Whole pixels as such, for the readers that know no others."""
    return str(int(value)) if value.is_integer() else repr(value)


def _lost(pictures: Sequence[Placed], classes: Sequence[str]) -> tuple[str, ...]:
    notes = areas_lost(pictures, "Pascal VOC") + outlines_lost(pictures, "Pascal VOC")
    thin = [one.file for one in pictures for box, _, _ in _objects(one) if min(_sides(box)) <= _LEAST]
    if thin:
        notes += (
            f"{count_of(len(thin), 'box')} of a pixel or less in width or height, widened to a little over one: Pascal "
            f"VOC counts whole pixels. In {some(sorted(set(thin)))}",
        )
    there = {label for one in pictures for _, label, _ in _objects(one)}
    absent = [name for i, name in enumerate(classes) if i not in there]
    if absent:
        notes += (f"{count_of(len(absent), 'class')} without objects not held by Pascal VOC: {some(absent)}",)
    left = [name for i, name in enumerate(classes) if i in there]
    if left != sorted(left):
        notes += ("Pascal VOC does not hold the order of classes: it is read in that of the alphabet",)
    return notes


def _sides(box: list[float]) -> tuple[float, float]:
    return box[2] - box[0], box[3] - box[1]


VOC = Layout("voc", lambda split: Path("JPEGImages"), _texts, _lost)
