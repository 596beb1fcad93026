"""Which way up a stored picture is, and boxes that were drawn on it before it was turned.

`read_picture` turns a picture upright by its EXIF orientation, and most labelling tools show it so. Some do not: then
the size that the label file states is the stored one, with the sides swapped, and the boxes must be turned too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgekit.vision.image import open_picture


@dataclass(frozen=True)
class Size:
    """Pixels of the upright picture, and the EXIF orientation (1..8) that made it upright."""

    width: int
    height: int
    orientation: int = 1


def picture_size(path: Path) -> Size:
    """From the header alone, for a picture that `picture_problem` has passed."""
    with open_picture(path) as image:
        try:
            orientation = int(image.getexif().get(0x0112, 1))  # EXIF 2.32, tag Orientation
        except (OSError, SyntaxError, ValueError, TypeError, LookupError):
            orientation = 1  # as `read_picture` does with a broken EXIF block
        w, h = image.size
    return Size(h, w, orientation) if 5 <= orientation <= 8 else Size(w, h, orientation)


def upright(xyxy: tuple[float, float, float, float], size: Size) -> tuple[float, float, float, float]:
    """A box drawn on the picture as stored, for one whose orientation swaps its sides (5 to 8), turned with it."""
    x1, y1, x2, y2 = xyxy
    h, w = size.width, size.height  # as stored
    return {
        5: (y1, x1, y2, x2),
        6: (h - y2, x1, h - y1, x2),
        7: (h - y2, w - x2, h - y1, w - x1),
        8: (y1, w - x2, y2, w - x1),
    }.get(size.orientation, xyxy)
