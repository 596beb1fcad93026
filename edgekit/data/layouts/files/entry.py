"""What a label file says of its pictures, whatever its format."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.data.drawn_mask import Outline
from edgekit.reading import load_json, read_text
from edgekit.reading.limits import LIST

Corners = tuple[float, float, float, float]
NO_CLASS = ""  # of a region that nobody labelled: it is set aside for every class
UNUSABLE: Corners = (math.nan, math.nan, math.nan, math.nan)  # takes its picture out of the set


@dataclass(frozen=True)
class Shape:
    """One object.

    Attributes:
        name: its class as the file has it; `NO_CLASS`, if it is set aside for all.
        xyxy: x1 y1 x2 y2 in pixels, or in parts of the picture (see `Entry.parts`); NaN where it cannot be read.
        where: where it stands, e.g. "line 3".
        area: square pixels, where the file states the object's own.
        ignored: a crowd, or difficult: it need not be found.
        outline: its outline, in the unit of `xyxy`, where the file has one.
        note: what was made of it, for a note; "" for a plain box.
    """

    name: str
    xyxy: Corners
    where: str = ""
    area: float | None = None
    ignored: bool = False
    outline: Outline | None = None
    note: str = ""


@dataclass(frozen=True)
class Entry:
    """A picture with its objects.

    Attributes:
        pictures: what the file calls it, the best way first; any of them may be a foreign path or an address. "" stands
            for a picture called as the label file is; "#12" for the picture of frame 12.
        shapes: its objects; () where it is known to have none.
        size: width and height as the file states them.
        split: the name of the split, where the file says one.
        parts: whether coordinates are parts of the picture's sides, from 0 to 1.
        problem: why the objects cannot be read; then the picture is left out.
        ignore: another note that this entry deserves, "" for none.
    """

    pictures: tuple[str, ...]
    shapes: tuple[Shape, ...] = ()
    size: tuple[float, float] | None = None
    split: str = ""
    parts: bool = False
    problem: str = ""
    ignore: str = ""


@dataclass(frozen=True)
class Read:
    """All that one label file says. `names`: its classes in order; () where it has none, and they are sorted."""

    entries: Sequence[Entry]
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Format:
    """A kind of label file.

    Attributes:
        name: what a data set of it is called.
        suffixes: of its files, in small letters.
        fits: whether a file, by its path and its first and last bytes, is one.
        read: (label file, root of the data set) to what it says. Raises OSError or ValueError for one that cannot be
            read, DataError for what makes the set as a whole unusable.
        about: for people, what such a set looks like.
        each: one file a picture, so that its name is the picture's and says nothing of a split.
        missing_is_empty: a picture without a file has no objects.
        belongs: whether a file that does not fit, an empty one, is of this kind too.
        settle: what all entries of a set together say of each, in their order; None where they say no more.
    """

    name: str
    suffixes: frozenset[str]
    fits: Callable[[Path, bytes], bool]
    read: Callable[[Path, Path], Read]
    about: str
    each: bool = False
    missing_is_empty: bool = False
    belongs: Callable[[Path, bytes], bool] = lambda file, head: False
    settle: Callable[[list[Entry]], list[Entry]] | None = None


def around(points: Iterable[Sequence[float]]) -> Corners:
    """The box around points; `UNUSABLE` for fewer than two, or for one that is no number."""
    try:
        pairs = [(float(point[0]), float(point[1])) for point in points]
    except (TypeError, ValueError, LookupError, OverflowError):
        return UNUSABLE
    if len(pairs) < 2 or not all(math.isfinite(v) for pair in pairs for v in pair):
        return UNUSABLE
    xs, ys = [x for x, _ in pairs], [y for _, y in pairs]
    return min(xs), min(ys), max(xs), max(ys)


def corners(x: object, y: object, w: object, h: object) -> Corners:
    """x1 y1 x2 y2 of a left upper corner, a width and a height, given as numbers or texts."""
    try:
        left, top, wide, high = (float(v) for v in (x, y, w, h))  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return UNUSABLE
    return left, top, left + wide, top + high


def ordered(x1: object, y1: object, x2: object, y2: object) -> Corners:
    """The same of two opposite corners in any order."""
    return around(((x1, y1), (x2, y2)))  # type: ignore[arg-type]


def outlined(name: str, points: Iterable[Sequence[float]], where: str, kind: str = "polygon") -> Shape:
    """An object by its outline; `UNUSABLE` for fewer than three points, or for one that is no number."""
    ring = [tuple(point) for point in points]
    xyxy = around(ring)
    if len(ring) < 3 or not math.isfinite(xyxy[0]):
        return Shape(name, UNUSABLE, where)
    flat = tuple(float(v) for point in ring for v in point[:2])
    return Shape(name, xyxy, where, outline=Outline((flat,)), note=f"{{{kind}}}, taken as the box around")


def pairs(numbers: Sequence[Any]) -> list[tuple[Any, Any]]:
    """x1 y1 x2 y2 .. as points. Raises ValueError for an odd number of them."""
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def sized(given: Any) -> tuple[float, float] | None:
    """The size of a picture as a mapping with `width` and `height` states it; None where it does not."""
    try:
        size = float(given["width"]), float(given["height"])
    except (TypeError, ValueError, LookupError):
        return None
    return size if min(size) > 0 else None


def turned(cx: float, cy: float, w: float, h: float, radians: float) -> tuple[tuple[float, float], ...]:
    """The four corners of a box turned about its centre."""
    c, s = math.cos(radians), math.sin(radians)
    return tuple(
        (cx + i * w / 2 * c - j * h / 2 * s, cy + i * w / 2 * s + j * h / 2 * c)
        for i, j in ((-1, -1), (1, -1), (1, 1), (-1, 1))
    )


def disc(cx: float, cy: float, rx: float, ry: float, radians: float = 0) -> tuple[tuple[float, float], ...]:
    """64 points of an ellipse, perhaps turned about its centre; its four ends are among them."""
    c, s = math.cos(radians), math.sin(radians)
    angles = [2 * math.pi * i / 64 for i in range(64)]
    ends = [(rx * math.cos(a), ry * math.sin(a)) for a in angles]
    return tuple((cx + x * c - y * s, cy + x * s + y * c) for x, y in ends)


def json_lines(file: Path, entry: Callable[[dict[str, Any]], Entry]) -> list[Entry]:
    """What stands in a file with a JSON object a line for each picture. Raises ValueError, with the line."""
    entries = []
    for number, line in enumerate(read_text(file, LIST).splitlines(), 1):
        if not line.strip():
            continue
        try:
            entries.append(entry(load_json(line, exact=False)))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            told = error if isinstance(error, ValueError) else repr(error)  # of a KeyError the key alone says little
            raise ValueError(f"line {number}: {told}") from error
    return entries
