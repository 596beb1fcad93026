"""A sheet of a model's surest wrong answers: to see what it does not know, and where the labels are wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath

import numpy as np

from edgekit.data import Sample
from edgekit.data.survey.sheet import ASIDE, COLOURS, Cell, write_sheet
from edgekit.tasks.evaluation import WrongAnswer

PICTURES = 24
_SIDE = 240  # pixels, of a cell
_AROUND = 3.0  # what is shown, in longer sides of the box
_LEAST = 64  # pixels of the picture that are shown at least


def draw_wrong(path: Path, samples: Sequence[Sample], wrong: Sequence[WrongAnswer]) -> None:
    """Writes the sheet, white what the labels say, a colour a class what the model does.

    Args:
        path: .jpg or .png in a folder that is there; replaced if it exists.
        samples: the pictures that `wrong` speaks of, in its order.
        wrong: at least one.

    Raises:
        UsageError: a file ending that is no picture's.
        PictureError: a picture that can no longer be read.
    """
    cells = [_cell(samples[one.index], one) for one in wrong]
    write_sheet(path, cells, columns=6)


def _cell(sample: Sample, wrong: WrongAnswer) -> Cell:
    import cv2

    frame = sample.read()
    height, width = frame.shape[:2]
    left, top, right, bottom = 0, 0, width, height
    if wrong.place is not None:
        x1, y1, x2, y2 = wrong.place
        half = max(_LEAST, _AROUND * max(x2 - x1, y2 - y1)) / 2
        left, right = _within((x1 + x2) / 2, half, width)
        top, bottom = _within((y1 + y2) / 2, half, height)
    part = frame[top:bottom, left:right]
    scale = _SIDE / max(part.shape[:2])
    size = (max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale)))
    cell = np.full((_SIDE, _SIDE, 3), 235, np.uint8)
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    cell[: size[1], : size[0]] = cv2.resize(np.ascontiguousarray(part), size, interpolation=how)
    boxes = []
    for box, label in wrong.boxes:
        x1, y1, x2, y2 = (
            min(max(round((v - origin) * scale), -2), limit + 2)
            for v, origin, limit in zip(box, (left, top, left, top), (*size, *size), strict=True)
        )
        if min(x2, size[0]) > max(x1, 0) and min(y2, size[1]) > max(y1, 0):
            colour = ASIDE if label is None else COLOURS[label % len(COLOURS)]
            boxes.append(((float(x1), float(y1), float(x2), float(y2)), colour))
    return Cell(cell, f"{wrong.says}, {PurePath(sample.name).name}", boxes)


def _within(middle: float, half: float, size: int) -> tuple[int, int]:
    """A stretch of 2 half around a middle, as far as it lies in 0 to size; at least one pixel."""
    low = min(max(0, round(middle - half)), size - 1)
    return low, max(low + 1, min(size, round(middle + half)))
