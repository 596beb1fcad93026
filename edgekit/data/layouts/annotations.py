"""What YOLO, Pascal VOC and COCO have in common: boxes as written -> checked samples, with notes on what was found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.data.classes.class_map import proposal
from edgekit.data.layouts.files.resized import EITHER, STATED, Resized, by_shape
from edgekit.data.names import ALL, SPLITS, alike, plain, split_of, written_differently
from edgekit.data.orientation import Size, picture_size
from edgekit.data.pictures import left_out
from edgekit.data.sample import Dataset, Sample, class_index
from edgekit.errors import DataError, SplitError
from edgekit.screen import count_of, note_of, some
from edgekit.vision.boxes import clip
from edgekit.vision.find import scan
from edgekit.vision.image import picture_problem

# What layouts call their held-out splits; the first that is there is taken, as for class folders
HELD_OUT = (*SPLITS["val"], *SPLITS["test"])
_OUTSIDE = 0.01  # pixels: text labels are rounded, and what that puts outside is not worth a word
EVERY_CLASS = -1  # label of a box that is set aside for all classes
_LARGEST = 2  # times the picture: a box that is larger was written in other units


@dataclass(frozen=True)
class Box:
    """One box as the label file has it: x1 y1 x2 y2 in continuous pixels of the upright picture, NaN where unreadable.

    `label` counts the classes of the file, or is `EVERY_CLASS`; `where` says where it stands, e.g. "line 3".
    """

    xyxy: tuple[float, float, float, float]
    label: int
    area: float | None = None
    ignored: bool = False
    where: str = ""

    def scaled(self, x: float, y: float) -> Box:
        """The same box in a picture that is so many times as wide and as high."""
        x1, y1, x2, y2 = self.xyxy
        area = None if self.area is None else self.area * x * y
        return replace(self, xyxy=(x1 * x, y1 * y, x2 * x, y2 * y), area=area)


def choose_split(available: Sequence[str], split: str | None, path: Path) -> str:
    """The one of `available` that was asked for, in any case and by any of its names; without a wish the held-out one,
    or the only one where its name is that of no split.

    Raises:
        SplitError: it is not there.
        DataError: there is only a train split and none was asked for.
    """
    if split is None and len(available) == 1 and split_of(available[0]) is None:
        return available[0]  # CVAT's `default`: the whole set under a name
    for wanted in (split,) if split is not None else ("val", "test"):
        found = _named(available, wanted)
        if found is not None:
            return found
    if split is None and _named(available, "train") is not None:
        raise DataError(
            f"{path} has only pictures that a model was trained on.",
            got="splits: " + some(available, 10),
            expected="one of " + ", ".join(HELD_OUT),
            fix='split some off (edgekit.data.split_by_group), or ask for it: split="train"',
        )
    error = SplitError(
        f"{path} has no such split.",
        got=split or "none named",
        expected="one of " + some([*available, ALL], 10),
    )
    error.splits = tuple(available)
    raise error


def _named(available: Sequence[str], wanted: str) -> str | None:
    if wanted in available:
        return wanted
    kind = split_of(wanted)
    names = (wanted, *SPLITS[kind]) if kind else (wanted,)
    for name in names:
        for other in available:
            if other.casefold() == name.casefold():
                return other
    return next((other for other in available if kind and split_of(other) == kind), None)


class Collector:
    """Takes pictures with their boxes one after the other, checks both, and counts what it could not use.

    A box that sticks out is clipped where its centre is in the picture. A picture with a box that cannot be used is
    left out: without the box it would teach that there is nothing.

    Args:
        root: names of samples are relative to it.
        found: class names of the data set, in the order of `Box.label`.
        classes: the model's, or None for `found`.
    """

    def __init__(self, root: Path, found: Sequence[str], classes: Sequence[str] | None) -> None:
        self.root = root
        self.found = tuple(found)
        self.classes = tuple(dict.fromkeys(map(plain, self.found))) if classes is None else tuple(classes)
        self.samples: list[Sample] = []
        self._map = [class_index(name, self.classes) for name in self.found]
        self._unknown = [name for name, place in zip(self.found, self._map, strict=True) if place is None]
        self._taken: set[Path] = set()
        self._resized: list[tuple[int, Path, Size, Sequence[Box], tuple[float, float]]] = []
        self._said: dict[str, list[str]] = {}

    def say(self, what: str, where: str) -> None:
        """Counts `where` under the note `what`, which `note_of` tells."""
        self._said.setdefault(what, []).append(where)

    def name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.name

    def check(self, path: Path) -> Size | None:
        """The size of a picture that can be used; else None, and it is noted."""
        name = self.name(path)
        if (real := path.resolve()) in self._taken:
            self.say("{picture} listed again, taken once", name)
            return None
        self._taken.add(real)
        problem = picture_problem(path)
        if problem is not None:
            self.say("unreadable, left out", f"{name} ({problem})")
            return None
        return picture_size(path)

    def add(self, path: Path, size: Size, boxes: Sequence[Box], stated: tuple[float, float] | None = None) -> None:
        """A picture that `check` has passed. It is left out, and noted, if one of its boxes cannot be used.

        Where its labels state another size, `stated`, what becomes of its boxes is told by all such pictures together
        (`files/resized.py`), when `dataset` is asked for.

        Raises:
            DataError: a class that the model does not have.
        """
        if stated is not None and min(stated) > 0 and stated != (size.width, size.height):
            self._resized.append((len(self.samples), path, size, boxes, stated))
        elif (sample := self._sample(path, size, boxes)) is not None:
            self.samples.append(sample)

    def _settle(self) -> None:
        """Adds the pictures of another size than their labels state, where they belong."""
        waiting = [
            (
                Resized(stated, (size.width, size.height), [box.xyxy for box in boxes]),
                (place, path, size, boxes, stated),
            )
            for place, path, size, boxes, stated in self._resized
        ]
        self._resized = []
        units = by_shape([one for one, _ in waiting])
        added = 0
        for one, (place, path, size, boxes, stated) in waiting:
            text = f"{self.name(path)} ({stated[0]:g} x {stated[1]:g} stated, {size.width} x {size.height} found)"
            unit = units[one.same_shape]
            if unit == STATED and not one.same_shape:
                self.say("left out, of another shape than the labels state and with boxes beyond it", text)
                continue
            scaled = one.same_shape and unit in (STATED, EITHER)
            if scaled:
                boxes = [box.scaled(*one.factors) for box in boxes]
            how = ", boxes scaled with it" if scaled else ", boxes read as they stand"
            self.say("{picture} of another size than the labels state" + (how if boxes else ""), text)
            sample = self._sample(path, size, boxes)
            if sample is not None:
                self.samples.insert(place + added, sample)
                added += 1

    def _by_class(self, boxes: Sequence[Box]) -> Iterator[tuple[int | None, Box]]:
        """The boxes with the class that each has; what is set aside for every class once for each."""
        for box in boxes:
            if box.label == EVERY_CLASS:
                yield from ((index, box) for index in range(len(self.classes)))
            else:
                yield self._map[box.label], box

    def _sample(self, path: Path, size: Size, boxes: Sequence[Box]) -> Sample | None:
        name = self.name(path)
        kept, seen = [], set()
        for index, box in self._by_class(boxes):
            if index is None:
                raise DataError(
                    f"{name} has an object of a class that the model does not have.",
                    got=self.found[box.label] + self._others(box.label),
                    expected="one of " + some(self.classes, 10),
                    fix=proposal(self._unknown, self.classes),
                )
            if (key := (index, box.xyxy, box.ignored)) in seen:
                self.say("{box} dropped, written twice", name)
                continue
            seen.add(key)
            cut = self._cut(name, box, size)
            if isinstance(cut, str):
                self.say("left out, with a box that cannot be used", cut)
                return None
            kept.append((cut, index, box.area, box.ignored))
        plain, ignored = [k for k in kept if not k[3]], [k for k in kept if k[3]]
        stated = bool(plain) and all(k[2] is not None for k in plain)
        return Sample(
            path,
            None,
            None,
            name,
            boxes=np.array([k[0] for k in plain]).reshape(-1, 4),
            box_labels=np.array([k[1] for k in plain], dtype=np.int64),
            box_areas=np.array([k[2] for k in plain], dtype=np.float32) if stated else None,
            ignored_boxes=np.array([k[0] for k in ignored]) if ignored else None,
            ignored_labels=np.array([k[1] for k in ignored], dtype=np.int64) if ignored else None,
            exact_boxes=np.array([k[0] for k in plain]).reshape(-1, 4),
            exact_ignored=np.array([k[0] for k in ignored]) if ignored else None,
        )

    def dataset(self, layout: str, notes: Sequence[str] = ()) -> Dataset:
        """What was added, with `notes` and those that this object made.

        Raises:
            DataError: no picture could be used.
        """
        self._settle()
        said = [f"{note_of(len(where), what)}: {some(where)}" for what, where in self._said.items()]
        warnings = (*written_differently(self.found), *alike(self.classes))
        if not self.samples:
            raise DataError(
                f"None of the pictures in {self.root} can be used.",
                got="; ".join([*said, *notes]) or "no pictures",
                expected="at least one",
            )
        whole = Dataset(tuple(self.samples), self.classes, layout)
        return replace(whole, notes=(*notes, *warnings, *counted(whole), *said))

    def _others(self, label: int) -> str:
        """What else the model does not have, in brackets."""
        others = [name for name in self._unknown if name != self.found[label]]
        return f" (nor does it have {some(others)})" if others else ""

    def _cut(self, name: str, box: Box, size: Size) -> NDArray[np.float64] | str:
        """float64 [4], the box within the picture; else the sentence that says why there is none."""
        x1, y1, x2, y2 = box.xyxy
        at = f" {box.where}" if box.where else ""
        where = f"{name}{at} ({self.found[box.label]} {x1:.6g} {y1:.6g} {x2:.6g} {y2:.6g}"
        if not np.isfinite(box.xyxy).all():
            return f"{where}: not four numbers)"
        if x2 <= x1 or y2 <= y1:
            return f"{where}: without area)"
        if not (0 <= x1 + x2 <= 2 * size.width and 0 <= y1 + y2 <= 2 * size.height):
            return f"{where}: its centre is outside the picture of {size.width} x {size.height})"
        if x2 - x1 > _LARGEST * size.width or y2 - y1 > _LARGEST * size.height:
            return f"{where}: much larger than the picture of {size.width} x {size.height})"
        cut = clip(box.xyxy, size.height, size.width)
        rounded = cut.astype(np.float32)  # as samples hold it
        if not (rounded[2:] > rounded[:2]).all():
            return f"{where}: without area)"
        if np.abs(cut - np.array(box.xyxy)).max() > _OUTSIDE:
            self.say("{box} partly outside the picture, clipped", f"{where})")
        return cut


def counted(dataset: Dataset) -> Iterator[str]:
    """The notes about how much a set with boxes has: objects of each class, pictures without any, boxes set aside."""
    classes, counts = dataset.classes or (), dataset.box_counts
    parts = [f"{name} {n}" for name, n in zip(classes, counts, strict=True) if n]
    yield f"{count_of(sum(counts), 'object')} in {count_of(len(dataset), 'picture')}: {some(parts, 20) or 'none'}"
    absent = [name for name, n in zip(classes, counts, strict=True) if not n]
    if absent:
        yield f"{len(absent)} of {len(classes)} classes have no objects: {some(absent)}"
    empty = [s.name for s in dataset if not _len(s.boxes)]
    if empty:
        yield f"{count_of(len(empty), 'picture')} without objects: {some(empty)}"
    # one for every class is one box
    ignored = [s.name for s in dataset if s.ignored_boxes is not None for _ in np.unique(s.ignored_boxes, axis=0)]
    if ignored:
        aside = count_of(len(ignored), "box")
        yield f"{aside} set aside (crowds or difficult objects), in {some(sorted(set(ignored)))}"


def _len(boxes: NDArray[np.float32] | None) -> int:
    return 0 if boxes is None else len(boxes)


def unlisted(folder: Path, taken: set[Path], why: str) -> tuple[str, ...]:
    """The note about pictures below `folder` that are not among `taken` (resolved paths), or none."""
    return left_out([p for p in scan(folder).pictures if p.resolve() not in taken], folder, why)
