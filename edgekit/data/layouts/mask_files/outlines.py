"""Masks drawn from outlines: COCO's polygons and runs, YOLO's segmentation rows, labelme's and CVAT's polygons."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from edgekit.data.drawn_mask import DrawnMask, Outline
from edgekit.data.layouts.files.entry import Entry, Shape
from edgekit.data.layouts.files.resized import EITHER, STATED, Resized, by_shape
from edgekit.data.layouts.files.survey import survey
from edgekit.data.layouts.label_files import Found, choose, is_label_files, is_turned, no_objects, read_all
from edgekit.data.mask_file import VOID, turned_upright
from edgekit.data.names import plain
from edgekit.data.orientation import Size, picture_size, upright
from edgekit.data.pictures import left_out
from edgekit.data.sample import Dataset, Sample, class_index
from edgekit.errors import DataError
from edgekit.progress import track
from edgekit.screen import note_of, some
from edgekit.vision.image import picture_problem

_LOOKED_INTO = 64  # label files that are read to see whether there are outlines
BACKGROUND = "background"  # what is around the objects, where the set has no name for it
_AROUND = frozenset({"background", "_background_", "bg", "void", "other"})


def is_outlines(path: Path) -> bool:
    """Whether label files below `path` have outlines of objects."""
    if not is_label_files(path):
        return False
    found = survey(path)
    assert found is not None
    try:
        known = read_all(replace(found, files=found.files[:_LOOKED_INTO]))
    except DataError:  # which it raises again where it is read
        return False
    return any(shape.outline for said in known.entries.values() for _, entry in said for shape in entry.shapes)


def load_outlines(path: Path, classes: Sequence[str] | None = None, split: str | None = None) -> Dataset:
    """The pictures of one split, with masks drawn from the outlines of their objects.

    Pixels outside all of them are of the class "background", which stands before the others; of a model that has no
    such class and one more than the set, of that one; else they are void. A box without an outline is its whole area.

    Args:
        path: a folder with label files.
        classes: the model's.
        split: as for `load_label_files`.

    Raises:
        DataError: no such split, no picture, or an object that is none of `classes`.
    """
    found = survey(path)
    assert found is not None
    known = read_all(found)
    if not known.names:
        raise no_objects(known)
    chosen, notes = choose(known, split, path)
    names, index, around, more = classes_around(known.names, classes, known.survey.root)
    said: dict[str, list[str]] = {}
    samples = []
    resized = _resized(chosen, known)
    units = by_shape(list(resized.values()))
    for picture in track(chosen, "reading outlines"):
        name = picture.relative_to(found.root).as_posix()
        entries = [entry for _, entry in known.entries.get(picture, ())]
        unread = (f"{shape.where} cannot be read" for entry in entries for shape in entry.shapes if _is_unread(shape))
        problem = picture_problem(picture) or next((entry.problem for entry in entries if entry.problem), None)
        problem = problem or next(unread, None)
        if problem is not None:
            said.setdefault("left out, unreadable or with labels that cannot be read", []).append(f"{name} ({problem})")
            continue
        size, factors = picture_size(picture), (1.0, 1.0)
        if (other := resized.get(picture)) is not None:
            text = "{} ({:g} x {:g} stated, {:g} x {:g} found)".format(name, *other.stated, *other.found)
            unit = units[other.same_shape]
            if unit == STATED and not other.same_shape:
                said.setdefault("left out, of another shape than the labels state", []).append(text)
                continue
            scaled = other.same_shape and unit in (STATED, EITHER)
            factors = other.factors if scaled else factors
            how = "outlines scaled with it" if scaled else "outlines read as they stand"
            said.setdefault("{picture} of another size than the labels state, " + how, []).append(text)
        drawn = [_drawn(entry, shape, size, factors, index) for entry in entries for shape in entry.shapes]
        boxes = sum(shape.outline is None for entry in entries for shape in entry.shapes)
        if boxes:
            said.setdefault("{picture} with boxes that have no outline, taken as their whole area", []).append(name)
        samples.append(Sample(picture, None, None, name, mask=DrawnMask(size.height, size.width, tuple(drawn), around)))
    counted = tuple(f"{note_of(len(where), what)}: {some(where)}" for what, where in said.items())
    if not samples:
        raise DataError(f"None of the pictures in {path} can be used.", got="; ".join(counted) or "no pictures")
    notes += left_out([p for p in found.pictures if p not in known.entries], found.root, "without outlines")
    return Dataset(tuple(samples), names, "outlines", (*notes, *more, *counted))


def classes_around(
    known: tuple[str, ...], classes: Sequence[str] | None, root: Path
) -> tuple[tuple[str, ...], dict[str, int], int, tuple[str, ...]]:
    """The classes of masks of objects, the index of each name of the set, that of what is around, and notes.

    Args:
        known: the set's names.
        classes: the model's, or None.
        root: of the set, for the error.

    Raises:
        DataError: names that are none of `classes`.
    """
    own = next((name for name in known if name.casefold() in _AROUND), None)
    if classes is None:
        names = known if own else (BACKGROUND, *known)
        index = {name: i for i, name in enumerate(names)}
        return names, index, index[own or BACKGROUND], ()
    places = {name: class_index(name, classes) for name in known if name != own}
    unknown = [name for name, place in places.items() if place is None]
    if unknown:
        raise DataError(
            f"{root} has masks of classes that the model does not have.",
            got=some(unknown),
            expected="some of " + some(classes, 10),
        )
    index = {name: place for name, place in places.items() if place is not None}
    left = [i for i in range(len(classes)) if i not in index.values()]
    named = next((i for i in left if classes[i].casefold() in _AROUND), left[0] if len(left) == 1 else None)
    if named is None:
        return tuple(classes), index, VOID, ("pixels outside all objects are void: the model has no class for them",)
    if own:
        index[own] = named
    return tuple(classes), index, named, (f"pixels outside all objects are taken for {classes[named]}",)


def _resized(chosen: Sequence[Path], known: Found) -> dict[Path, Resized]:
    """Pictures of another size than their label states, with the boxes around their objects."""
    found = {}
    for picture in chosen:
        entries = [entry for _, entry in known.entries.get(picture, ()) if entry.size and not entry.parts]
        if not entries or picture_problem(picture) is not None:
            continue
        size = picture_size(picture)
        entry, own = entries[0], (float(size.width), float(size.height))
        if entry.size and entry.size != own and not is_turned(entry, size):
            found[picture] = Resized(entry.size, own, [shape.xyxy for one in entries for shape in one.shapes])
    return found


def _is_unread(shape: Shape) -> bool:
    """Whether it has no numbers, or one that no picture has."""
    rings = (*shape.outline.rings, *shape.outline.holes) if shape.outline else (shape.xyxy,)
    return not all(math.isfinite(v) for ring in rings for v in ring)


def _drawn(
    entry: Entry, shape: Shape, size: Size, factors: tuple[float, float], index: dict[str, int]
) -> tuple[int, Outline]:
    """An object's class and its outline; `factors`: of x and y, of what a label states to what the picture has."""
    x1, y1, x2, y2 = shape.xyxy
    outline = shape.outline or Outline(((x1, y1, x2, y1, x2, y2, x1, y2),))
    turned = is_turned(entry, size)
    if factors != (1.0, 1.0):
        outline = outline.scaled(*factors)
    if entry.parts:
        w, h = (size.height, size.width) if turned else (size.width, size.height)
        outline = outline.scaled(w, h)
    if turned and outline.runs:
        outline = Outline.of_mask(turned_upright(outline.inside(*outline.shape), size.orientation))
    elif turned:
        outline = outline.moved(lambda ring: _upright(ring, size))
    label = VOID if shape.ignored and not shape.outline else index[plain(shape.name)]
    return label, outline


def _upright(ring: tuple[float, ...], size: Size) -> tuple[float, ...]:
    points = [upright((x, y, x, y), size)[:2] for x, y in zip(ring[::2], ring[1::2], strict=True)]
    return tuple(v for point in points for v in point)
