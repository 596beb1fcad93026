"""One row of YOLO: `class cx cy w h`, a polygon, or a box with keypoints or a confidence behind it."""

from __future__ import annotations

import numpy as np

from edgekit.data.layouts.annotations import Box
from edgekit.data.orientation import Size

_GUESS = "{row} with a confidence or a track behind the box, not read: are these labels a model's guesses?"
_FARTHEST = 2.0  # in parts of the picture: beyond it numbers are no parts, but pixels


def yolo_box(cells: list[str], size: Size, keypoints: int, line: int) -> tuple[Box, str]:
    """One row, and the note it deserves, or none. Raises ValueError."""
    text = " ".join(cells)[:60]
    try:
        numbers = [float(c) for c in cells]
    except ValueError as error:
        raise ValueError(f"not numbers: {text}") from error
    polygon = not keypoints and len(numbers) >= 7 and len(numbers) % 2 == 1
    pose = keypoints > 0 and len(numbers) == 5 + keypoints
    more = (
        len(numbers) == 6 and not keypoints and (0 <= numbers[5] <= 1 or (numbers[5] > 1 and numbers[5].is_integer()))
    )
    if not (len(numbers) == 5 or polygon or pose or more) or not numbers[0].is_integer():
        wanted = f"class cx cy w h and {keypoints} of keypoints" if keypoints else "class cx cy w h"
        hint = ", of which the last may be an angle" if len(numbers) == 6 else ""
        raise ValueError(f"{len(numbers)} numbers{hint}, not {wanted}: {text}")
    shape = numbers[1:] if polygon else numbers[1:5]
    if any(abs(n) > _FARTHEST for n in shape if np.isfinite(n)):
        raise ValueError(f"not parts of the picture, from 0 to 1, but pixels? {text}")
    w, h, where = size.width, size.height, f"line {line}"
    if polygon:
        x, y = np.array(numbers[1::2]) * w, np.array(numbers[2::2]) * h
        hull = (float(x.min()), float(y.min()), float(x.max()), float(y.max()))
        return Box(hull, int(numbers[0]), where=where), "{polygon row}, the box around taken"
    cx, cy, bw, bh = numbers[1] * w, numbers[2] * h, numbers[3] * w, numbers[4] * h
    box = Box((cx - bw / 2, cy - bh / 2, cx + bw / 2, cy + bh / 2), int(numbers[0]), where=where)
    return box, "{row} with keypoints, which are not read" if pose else _GUESS if more else ""
