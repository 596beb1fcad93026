"""How large pictures and boxes are, and how many of each class there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit.data.mask_file import VOID
from edgekit.data.orientation import picture_size
from edgekit.data.sample import Dataset, Sample
from edgekit.errors import InputError
from edgekit.metrics.percentiles import percentile_if_enough
from edgekit.progress import track
from edgekit.screen import count_of, some

PERCENTS = (5, 50, 95)
_SMALL, _MEDIUM = 32**2, 96**2  # square pixels: COCO's limits (cocodataset.org/#detection-eval)


@dataclass(frozen=True)
class Counts:
    """How much a split has.

    Attributes:
        pictures: how many.
        empty: of those with known boxes, how many have none.
        objects: boxes, without those set aside.
        aside: boxes set aside, crowds and difficult objects.
        classes: objects of each class by its name, else pictures of it, or whose mask shows it; empty where that is not
            known or, of masks, was not looked at.
    """

    pictures: int
    empty: int
    objects: int
    aside: int
    classes: Mapping[str, int]


@dataclass(frozen=True)
class Boxes:
    """How large the boxes of a set are.

    Attributes:
        sides: the square root of their areas in pixels, at 5, 50 and 95 %; None where there are too few.
        shares: the same as a part, 0..1, of that of their pictures.
        small, medium, large: how many, by COCO's limits of 32 and 96 pixels.
        most: in one picture.
    """

    sides: tuple[float | None, ...]
    shares: tuple[float | None, ...]
    small: int
    medium: int
    large: int
    most: int


def counts_of(part: Dataset) -> Counts:
    """How many pictures, boxes and classes a split has."""
    names = part.classes or ()
    aside = sum(0 if s.ignored_boxes is None else len(s.ignored_boxes) for s in part)
    if part.any_boxed:
        found = dict(zip(names, part.box_counts, strict=True))
        empty = sum(s.boxes is not None and not len(s.boxes) for s in part)
        return Counts(len(part), empty, sum(part.box_counts), aside, found)
    labels = Counter(i for s in part for i in (s.labels if s.labels is not None else (s.label,)) if i is not None)
    known = names or tuple(map(str, range(max(labels, default=-1) + 1)))
    return Counts(len(part), 0, 0, 0, {name: labels[i] for i, name in enumerate(known)} if labels else {})


def masks_of(part: Dataset) -> tuple[Counts, tuple[str, ...]]:
    """How many pictures show each class by their masks, and a warning about masks that cannot be used, or none."""
    labels: Counter[int] = Counter()
    bad: list[str] = []
    for sample in track(part, "reading masks"):
        try:
            labels.update(int(i) for i in np.unique(sample.read_mask()) if i != VOID)
        except InputError as error:
            bad.append(f"{sample.name} ({error.got})")
    names = part.classes or tuple(map(str, range(max(labels, default=-1) + 1)))
    told = (f"WARNING: {count_of(len(bad), 'mask')} that cannot be used: {some(bad)}",) if bad else ()
    return Counts(len(part), 0, 0, 0, {name: labels[i] for i, name in enumerate(names)}), told


def sizes_of(samples: Sequence[Sample]) -> list[tuple[int, int]]:
    """Width and height of each upright picture, by its header."""
    found = []
    for sample in track(samples, "looking at sizes"):
        if sample.frame is not None:
            found.append((sample.frame.shape[1], sample.frame.shape[0]))
        else:
            assert sample.path is not None
            size = picture_size(sample.path)
            found.append((size.width, size.height))
    return found


def sizes_text(sizes: Sequence[tuple[int, int]]) -> str:
    """E.g. "640 x 480 (300), 1280 x 720 (12) and 4 more sizes, from 200 x 100 to 1920 x 1080"."""
    counted = Counter(sizes).most_common()
    told = some([f"{w} x {h} ({n})" for (w, h), n in counted], 3)
    if len(counted) <= 3:
        return told
    low, high = (choose(sizes, key=lambda size: size[0] * size[1]) for choose in (min, max))
    return f"{told} sizes, from {low[0]} x {low[1]} to {high[0]} x {high[1]}"


def boxes_of(samples: Sequence[Sample], sizes: Sequence[tuple[int, int]]) -> Boxes | None:
    """How large the boxes of `samples` are, whose pictures have `sizes`; None where there are none."""
    areas: list[Any] = []
    shares: list[Any] = []
    most = 0
    for sample, (width, height) in zip(samples, sizes, strict=True):
        if sample.boxes is not None and len(sample.boxes):
            mine = np.prod(sample.boxes[:, 2:].astype(np.float64) - sample.boxes[:, :2], axis=1)
            areas.append(mine)
            shares.append(mine / (width * height))
            most = max(most, len(mine))
    if not areas:
        return None
    area, share = np.concatenate(areas), np.concatenate(shares)
    small, large = int((area < _SMALL).sum()), int((area >= _MEDIUM).sum())
    sides, parts = (
        tuple(percentile_if_enough(np.sqrt(values), percent) for percent in PERCENTS) for values in (area, share)
    )
    return Boxes(sides, parts, small, len(area) - small - large, large, most)
