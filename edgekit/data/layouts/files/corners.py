"""Four numbers that may be x y w h or two corners x1 y1 x2 y2: where COCO's are corners, and how pictures tell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from edgekit.data.layouts.files.entry import Corners

CORNERS, EITHER, CENTRES = "corners", "either", "centres"
_WRONG = 0.05  # of the boxes, which an annotator may have got wrong without making all of them another thing
_SLACK = 0.01  # of the picture's sides: pixels that are counted from 1, rounded numbers
_FEWEST = 4  # boxes, to tell COCO's by where they lie
_NEAR = 0.01  # of an area


def corners(data: dict[str, Any]) -> str:
    """What says so of all boxes of a file, as read from JSON; an empty string where nothing does.

    Said is it by Detectron2's `bbox_mode` 0; by the areas, where each is that of the corners and not of the width and
    height; or by the pictures' stated sizes (`meant`).
    """
    items = [(item, box) for item in data["annotations"] if (box := four(item.get("bbox"))) is not None]
    if not items:
        return ""
    modes = {str(item.get("bbox_mode", "")) for item, _ in items}
    if modes == {"0"}:
        return "bbox_mode is 0"
    if modes != {""} or not all(c > a and d > b for _, (a, b, c, d) in items):
        return ""
    plain = [(box, area) for item, box in items if not item.get("segmentation") and (area := _number(item.get("area")))]
    of_corners = all(_near(area, (c - a) * (d - b)) for (a, b, c, d), area in plain)
    if len(plain) == len(items) and of_corners and not all(_near(area, c * d) for (_, _, c, d), area in plain):
        return "their areas are those of corners"
    sides = {str(image["id"]): (_number(image.get("width")), _number(image.get("height"))) for image in data["images"]}
    sizes = [side if min(side := sides.get(str(item["image_id"]), (0.0, 0.0))) > 0 else None for item, _ in items]
    if len(items) >= _FEWEST and None not in sizes and meant([box for _, box in items], sizes) == CORNERS:
        return "as x y w h most would reach beyond their pictures"
    return ""


def meant(boxes: Sequence[Corners], sizes: Sequence[tuple[float, float] | None]) -> str:
    """How boxes of four numbers are meant, by where they would lie in their pictures.

    Args:
        boxes: as they stand.
        sizes: width and height of each box's picture in the unit of the boxes; None where it is unknown.

    Returns:
        `CORNERS` where most would reach beyond the picture as x y w h and nearly none as x1 y1 x2 y2, `EITHER` where
        all fit as both, else "": x y w h.
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


def about(boxes: Sequence[Corners], sizes: Sequence[tuple[float, float] | None]) -> str:
    """Whether x and y of boxes x y w h are their left upper corners, by where they would lie in their pictures.

    Args:
        boxes, sizes: as for `meant`.

    Returns:
        `CENTRES` where some would reach beyond the picture from a corner on and nearly none around a centre, `EITHER`
        where all fit as both, else "": corners.
    """
    placed = [(box, size) for box, size in zip(boxes, sizes, strict=True) if size is not None]
    beyond = sum(_beyond(x + w, y + h, size) for (x, y, w, h), size in placed)
    outside = sum(
        _beyond(x + w / 2, y + h / 2, size) or w / 2 - x > _SLACK * size[0] or h / 2 - y > _SLACK * size[1]
        for (x, y, w, h), size in placed
    )
    if not placed or outside > _WRONG * len(placed):
        return ""
    if beyond > _WRONG * len(placed):
        return CENTRES
    return "" if outside or beyond else EITHER


def _beyond(x: float, y: float, size: tuple[float, float]) -> bool:
    return x > size[0] * (1 + _SLACK) or y > size[1] * (1 + _SLACK)


def four(box: Any) -> tuple[float, float, float, float] | None:
    """The finite numbers of a box; None for what has not four of them."""
    if not isinstance(box, list) or len(box) != 4:
        return None
    a, b, c, d = (_number(v) for v in box)
    return (a, b, c, d) if not any(math.isnan(v) for v in (a, b, c, d)) else None


def _number(value: Any) -> float:
    """A finite number; 0 for nothing, NaN for what is none."""
    if value is None:
        return 0.0
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return number if math.isfinite(number) else math.nan


def _near(area: float, other: float) -> bool:
    return abs(area - other) <= max(1.0, _NEAR * other)
