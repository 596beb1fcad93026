"""Boxes of four numbers in one cell: x y width height as Kaggle has them, or two corners. The pictures tell."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.data.layouts.files.entry import Corners

CORNERS = (
    "{box} of four numbers in one cell read as x1 y1 x2 y2: as x y width height most would reach beyond the picture"
)
EITHER = "{box} of four numbers in one cell read as x y width height, as x1 y1 x2 y2 all would fit too: look at some"
_WRONG = 0.05  # of the boxes, which an annotator may have got wrong without making all of them another thing
_SLACK = 0.01  # of the picture's sides: pixels that are counted from 1, rounded numbers


def reading(boxes: Sequence[Corners], sizes: Sequence[tuple[float, float] | None]) -> str:
    """How the boxes of a table are meant, by where they would lie in their pictures.

    Args:
        boxes: four numbers each, as they stand.
        sizes: width and height of each box's picture in the unit of the boxes; None where it is unknown.

    Returns:
        `CORNERS`, `EITHER` where nothing tells (x y width height is what is usual), or "" for x y width height.
    """
    placed = [(box, size) for box, size in zip(boxes, sizes, strict=True) if size is not None]
    if not placed or sum(not (c > a and d > b) for a, b, c, d in boxes) > _WRONG * len(boxes):
        return ""
    outside = sum(_beyond(c, d, size) for (_, _, c, d), size in placed)
    beyond = sum(_beyond(a + c, b + d, size) for (a, b, c, d), size in placed)
    if outside > _WRONG * len(placed):
        return ""
    if beyond > len(placed) / 2:
        return CORNERS
    return "" if outside else EITHER


def _beyond(x: float, y: float, size: tuple[float, float]) -> bool:
    return x > size[0] * (1 + _SLACK) or y > size[1] * (1 + _SLACK)
