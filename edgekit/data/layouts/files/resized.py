"""Pictures of another size than their labels state: were they scaled after they were labelled, or is the size wrong?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgekit.data.layouts.files.entry import Corners

STATED, FOUND, EITHER, NEITHER = "stated", "found", "either", "neither"
_SLACK = 0.01  # of a side: rounded sizes and corners
_WRONG = 0.05  # of the boxes, which may lie anywhere
_CHANCE = 0.01  # that all boxes lie in the upper left part of their pictures


@dataclass(frozen=True)
class Resized:
    """A picture: width and height as its labels state them and as they are, and its boxes as they stand."""

    stated: tuple[float, float]
    found: tuple[float, float]
    boxes: Sequence[Corners]

    @property
    def same_shape(self) -> bool:
        """Whether one factor makes one size of the other."""
        (a, b), (c, d) = self.stated, self.found
        return abs(a * d - b * c) <= _SLACK * a * d

    @property
    def factors(self) -> tuple[float, float]:
        """What x and y of a box in the stated size are multiplied by."""
        return self.found[0] / self.stated[0], self.found[1] / self.stated[1]


def pixels_of(pictures: Sequence[Resized]) -> str:
    """Of which size all boxes are: `STATED` or `FOUND`, `EITHER` where they fit both, `NEITHER` where they fit none.

    Boxes that fit both are of the smaller size where it is no chance that all of them lie in that part of the larger.
    """
    boxes = [(box, p) for p in pictures for box in p.boxes if all(map(math.isfinite, box))]
    allowed = _WRONG * len(boxes)
    outside_stated = sum(_beyond(box, p.stated) for box, p in boxes) > allowed
    outside_found = sum(_beyond(box, p.found) for box, p in boxes) > allowed
    if outside_stated != outside_found:
        return FOUND if outside_stated else STATED
    if outside_stated:
        return NEITHER
    smaller = [math.prod(p.factors) < 1 for _, p in boxes]
    chance = math.prod(min(v := math.prod(p.factors), 1 / v) for _, p in boxes)
    if boxes and chance < _CHANCE and len(set(smaller)) == 1:
        return FOUND if smaller[0] else STATED
    return EITHER


def by_shape(pictures: Sequence[Resized]) -> dict[bool, str]:
    """`pixels_of` those that have the shape that is stated, and of the others."""
    return {same: pixels_of([one for one in pictures if one.same_shape is same]) for same in (True, False)}


def _beyond(box: Corners, size: tuple[float, float]) -> bool:
    return box[2] > size[0] * (1 + _SLACK) + 1 or box[3] > size[1] * (1 + _SLACK) + 1
