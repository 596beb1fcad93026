"""Pascal VOC's pixels are counted from 1; sets whose corners are 0 were counted from 0, or not counted at all."""

from __future__ import annotations

from collections.abc import Iterable

from edgekit.data.layouts.files.entry import Corners

NOTE = "{box} counted from 0, where Pascal VOC counts from 1: of all that touch the left or upper side most are at 0"
Shift = tuple[int, int]  # what is added to the first and to the last corner


def counted(found: Iterable[tuple[Corners, tuple[float, float] | None]]) -> Shift | None:
    """What mends the boxes of a set that was counted from 0; None for one that was counted from 1.

    Args:
        found: all boxes, read as counted from 1, with the size of their pictures.

    Boxes at 0 outnumber those at 1 then. Their ends belong to the box, as VOC's do, where some are at the last pixel
    and none at the picture's side; else they are continuous.
    """
    boxes = list(found)
    firsts = [v for box, _ in boxes for v in box[:2]]
    if firsts.count(-1) <= firsts.count(0):
        return None
    gaps = [side - end for box, size in boxes if size for side, end in zip(size, box[2:], strict=True)]
    return (1, 1) if 1 in gaps and 0 not in gaps else (1, 0)


def moved(box: Corners, by: Shift) -> Corners:
    """A box, mended."""
    return box[0] + by[0], box[1] + by[0], box[2] + by[1], box[3] + by[1]
