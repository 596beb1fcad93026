"""What a layout's writer gets of one picture, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.data.drawn_mask import Outline
from edgekit.data.sample import Sample
from edgekit.screen import count_of


@dataclass(frozen=True)
class Placed:
    """A picture of a data set, and where it will lie.

    Attributes:
        sample: has boxes, if only [0, 4] of them.
        split: `train` and the like.
        file: the picture's path inside its split, unique in the whole set, also without its suffix.
        width, height: of the upright picture, in pixels.
        outlines: of each box, and then of each set aside, its outline or None; () where none is known.
        unmatched: how many outlines belong to no box.
    """

    sample: Sample
    split: str
    file: str
    width: int
    height: int
    outlines: tuple[Outline | None, ...] = ()
    unmatched: int = 0

    def boxes(self) -> NDArray[np.float64]:
        """float64 [M, 4], as exact as they are known."""
        exact, boxes = self.sample.exact_boxes, self.sample.boxes
        assert boxes is not None
        return boxes.astype(np.float64) if exact is None else exact

    def aside(self) -> NDArray[np.float64]:
        """float64 [K, 4], those set aside."""
        exact, boxes = self.sample.exact_ignored, self.sample.ignored_boxes
        rounded = np.zeros((0, 4)) if boxes is None else boxes.astype(np.float64)
        return rounded if exact is None else exact

    def labels(self) -> list[int]:
        """The classes of `boxes`."""
        return [] if self.sample.box_labels is None else self.sample.box_labels.tolist()

    def aside_labels(self) -> list[int]:
        """The classes of `aside`."""
        return [] if self.sample.ignored_labels is None else self.sample.ignored_labels.tolist()


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
    return (
        f"the areas of the masks of {count_of(n, 'object')} are not held by {layout}: the areas of their boxes count",
    )


def outlines_lost(pictures: Sequence[Placed], layout: str) -> tuple[str, ...]:
    """The sentence about outlines, which only COCO holds beside boxes, or none."""
    n = sum(outline is not None for one in pictures for outline in one.outlines) + sum(o.unmatched for o in pictures)
    return (f"the outlines of {count_of(n, 'object')} are not held by {layout}: boxes are written",) if n else ()
