"""COCO files whose boxes are corners: a converter wrote x1 y1 x2 y2 where the format has x y w h."""

from __future__ import annotations

import math
from typing import Any

_FEWEST = 4  # boxes, to tell by where they lie
_NEAR = 0.01  # of an area


def corners(data: dict[str, Any]) -> str:
    """What says so of all boxes of a file, as read from JSON; an empty string where nothing does.

    Said is it by Detectron2's `bbox_mode` 0; by the areas, where each is that of the corners and not of the width and
    height; or by the pictures' stated sizes, where most boxes would reach beyond them and no corner does.
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
    sizes = {str(image["id"]): (_number(image.get("width")), _number(image.get("height"))) for image in data["images"]}
    placed = [(box, sizes.get(str(item["image_id"]), (0.0, 0.0))) for item, box in items]
    beyond = sum(a + c > w + 1 or b + d > h + 1 for (a, b, c, d), (w, h) in placed)
    inside = all(c <= w + 1 and d <= h + 1 for (_, _, c, d), (w, h) in placed)
    known = all(w > 0 and h > 0 for _, (w, h) in placed)
    if known and inside and len(placed) >= _FEWEST and beyond > len(placed) / 2:
        return f"as x y w h {beyond} of {len(placed)} would reach beyond their pictures"
    return ""


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
