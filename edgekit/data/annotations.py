"""What YOLO, Pascal VOC and COCO have in common: boxes as written -> checked samples, with notes on what was found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.data.orientation import Size, picture_size
from edgekit.data.pictures import left_out
from edgekit.data.sample import Dataset, Layout, Sample, class_index, some
from edgekit.errors import DataError, SplitError
from edgekit.vision.boxes import clip
from edgekit.vision.image import picture_problem, scan_pictures

# What layouts call their held-out splits; the first that is there is taken, as for class folders
VALIDATION = ("val", "valid", "validation")
HELD_OUT = (*VALIDATION, "test")
ALL = "all"
_OUTSIDE = 0.01  # pixels: text labels are rounded, and what that puts outside is not worth a word


@dataclass(frozen=True)
class Box:
    """One box as the label file has it: x1 y1 x2 y2 in continuous pixels of the upright picture."""

    xyxy: tuple[float, float, float, float]
    label: int
    area: float | None = None
    aside: bool = False


def split_order(split: str | None) -> tuple[str, ...]:
    """The names to look for: of the split asked for, or of the held-out ones."""
    return HELD_OUT if split is None else VALIDATION if split in VALIDATION else (split,)


def choose_split(available: Sequence[str], split: str | None, path: Path) -> str:
    """The one of `available` that was asked for; without a wish the first held-out one.

    Raises:
        SplitError: it is not there.
        DataError: there is only a train split and none was asked for.
    """
    for name in split_order(split):
        if name in available:
            return name
    if split is None and "train" in available:
        raise DataError(
            f"{path} has only pictures that a model was trained on.",
            got="splits: " + some(available, 10),
            expected="one of " + ", ".join(HELD_OUT),
            fix='split some off (edgekit.data.split_by_group), or ask for it: split="train"',
        )
    raise SplitError(
        f"{path} has not this split.",
        got=split or "none named",
        expected="one of " + some([*available, ALL], 10),
    )


class Collector:
    """Takes pictures with their boxes one after the other, checks both, and counts what it could not use.

    Args:
        root: names of samples are relative to it.
        found: class names of the data set, in the order of `Box.label`.
        classes: the model's, or None for `found`.
    """

    def __init__(self, root: Path, found: Sequence[str], classes: Sequence[str] | None) -> None:
        self.root = root
        self.found = tuple(found)
        self.classes = tuple(classes) if classes is not None else self.found
        self.samples: list[Sample] = []
        self._map = [class_index(name, self.classes) for name in self.found]
        self._taken: set[Path] = set()
        self._said: dict[str, list[str]] = {}

    def say(self, what: str, where: str) -> None:
        """Counts `where` under the note `what`."""
        self._said.setdefault(what, []).append(where)

    def name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.name

    def check(self, path: Path) -> Size | None:
        """The size of a picture that can be used; else None, and it is noted."""
        name = self.name(path)
        if (real := path.resolve()) in self._taken:
            self.say("picture(s) listed again, taken once", name)
            return None
        self._taken.add(real)
        problem = picture_problem(path)
        if problem is not None:
            self.say("unreadable, left out", f"{name} ({problem})")
            return None
        return picture_size(path)

    def add(self, path: Path, size: Size, boxes: Sequence[Box]) -> None:
        """A picture that `check` has passed.

        Raises:
            DataError: a class that the model has not.
        """
        name = self.name(path)
        kept, seen = [], set()
        for box in boxes:
            index = self._map[box.label]
            if index is None:
                raise DataError(
                    f"{name} has an object of a class that the model has not.",
                    got=self.found[box.label],
                    expected="one of " + some(self.classes, 10),
                    fix="use a model of these classes, or take these objects out of the labels",
                )
            if (key := (index, box.xyxy, box.aside)) in seen:
                self.say("box(es) dropped, written twice", name)
                continue
            seen.add(key)
            cut = self._cut(name, box, size)
            if cut is not None:
                kept.append((cut, index, box.area, box.aside))
        plain, aside = [k for k in kept if not k[3]], [k for k in kept if k[3]]
        stated = bool(plain) and all(k[2] is not None for k in plain)
        self.samples.append(
            Sample(
                path,
                None,
                None,
                name,
                boxes=np.array([k[0] for k in plain], dtype=np.float32).reshape(-1, 4),
                box_labels=np.array([k[1] for k in plain], dtype=np.int64),
                box_areas=np.array([k[2] for k in plain], dtype=np.float32) if stated else None,
                aside_boxes=np.array([k[0] for k in aside], dtype=np.float32) if aside else None,
                aside_labels=np.array([k[1] for k in aside], dtype=np.int64) if aside else None,
            )
        )

    def dataset(self, layout: Layout, notes: Sequence[str] = ()) -> Dataset:
        """What was added, with `notes` and those that this object made.

        Raises:
            DataError: no picture, or no box of those that were written could be used.
        """
        said = [f"{len(where)} {what}: {some(where)}" for what, where in self._said.items()]
        boxes = sum(_len(s.boxes) + _len(s.aside_boxes) for s in self.samples)
        dropped = any("dropped" in what for what in self._said)
        if not self.samples or (dropped and not boxes):
            raise DataError(
                f"None of the {'boxes' if self.samples else 'pictures'} in {self.root} can be used.",
                got="; ".join([*said, *notes]) or "no pictures",
                expected="at least one",
            )
        return Dataset(tuple(self.samples), self.classes, layout, (*notes, *self._counts(), *said))

    def _counts(self) -> Iterator[str]:
        counted = Dataset(tuple(self.samples), self.classes, "pictures").box_counts
        parts = [f"{name} {n}" for name, n in zip(self.classes, counted, strict=True) if n]
        yield f"{sum(counted)} objects in {len(self.samples)} pictures: {some(parts, 20) or 'none'}"
        absent = [name for name, n in zip(self.classes, counted, strict=True) if not n]
        if absent:
            yield f"{len(absent)} of {len(self.classes)} classes have no objects: {some(absent)}"
        empty = [s.name for s in self.samples if not _len(s.boxes)]
        if empty:
            yield f"{len(empty)} picture(s) without objects: {some(empty)}"
        aside = [s.name for s in self.samples for _ in range(_len(s.aside_boxes))]
        if aside:
            yield f"{len(aside)} box(es) set aside (crowds or difficult objects), in {some(sorted(set(aside)))}"

    def _cut(self, name: str, box: Box, size: Size) -> NDArray[np.float32] | None:
        x1, y1, x2, y2 = box.xyxy
        where = f"{name} ({self.found[box.label]} {x1:.6g} {y1:.6g} {x2:.6g} {y2:.6g})"
        if not np.isfinite(box.xyxy).all():
            self.say("box(es) dropped, not finite", where)
            return None
        if x2 <= x1 or y2 <= y1:
            self.say("box(es) dropped, without area", where)
            return None
        cut = clip(box.xyxy, size.height, size.width).astype(np.float32)
        if not (cut[2:] > cut[:2]).all():
            outside = x2 <= 0 or y2 <= 0 or x1 >= size.width or y1 >= size.height
            self.say(f"box(es) dropped, {'outside the picture' if outside else 'without area'}", where)
            return None
        if np.abs(cut - np.array(box.xyxy)).max() > _OUTSIDE:
            self.say("box(es) partly outside the picture, clipped", where)
        return cut


def _len(boxes: NDArray[np.float32] | None) -> int:
    return 0 if boxes is None else len(boxes)


def unlisted(folder: Path, taken: set[Path], why: str) -> tuple[str, ...]:
    """The note about pictures below `folder` that are not among `taken` (resolved paths), or none."""
    return left_out([p for p in scan_pictures(folder)[0] if p.resolve() not in taken], folder, why)
