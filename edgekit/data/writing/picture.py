"""What a layout's writer gets of one picture, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.data.sample import Sample


@dataclass(frozen=True)
class Placed:
    """A picture of a data set, and where it will lie.

    Attributes:
        sample: has boxes, if only [0, 4] of them.
        split: `train` and the like.
        file: the picture's path inside its split, unique in the whole set, also without its suffix.
        width, height: of the upright picture, in pixels.
    """

    sample: Sample
    split: str
    file: str
    width: int
    height: int


@dataclass(frozen=True)
class Layout:
    """One layout that is written: a file beside this one.

    Attributes:
        name: as `--to` takes it.
        folder: where the pictures of a split go, inside the set.
        texts: (pictures, classes) -> the text of each label file by its path inside the set.
        lost: (pictures, classes) -> a sentence for whatever the layout cannot hold.
        splits: the only names of splits that the layout knows; None where it takes any.
    """

    name: str
    folder: Callable[[str], Path]
    texts: Callable[[Sequence[Placed], Sequence[str]], Mapping[Path, str]]
    lost: Callable[[Sequence[Placed], Sequence[str]], tuple[str, ...]]
    splits: tuple[str, ...] | None = None


def areas_lost(pictures: Sequence[Placed], layout: str) -> tuple[str, ...]:
    """The sentence about areas of masks, which only COCO holds, or none."""
    n = 0
    for one in pictures:
        boxes, areas = one.sample.boxes, one.sample.box_areas
        if boxes is not None and areas is not None and len(areas):
            whole = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
            n += int((abs(areas - whole) > 1e-4 * whole).sum())
    if not n:
        return ()
    return (f"the areas of {n} object(s)' own masks are not held by {layout}: the areas of their boxes count",)


def aside_of(one: Placed) -> int:
    """How many boxes of a picture are set aside."""
    return 0 if one.sample.ignored_boxes is None else len(one.sample.ignored_boxes)
