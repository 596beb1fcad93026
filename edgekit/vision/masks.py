"""The box around a COCO segmentation: polygons, or the lengths of runs down the columns of a mask.

Source: the format of cocodataset.org/#format-data; the string form is cocoapi's common/maskApi.c, rleToString.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MOST = 2**28  # pixels of a mask


def mask_bounds(segmentation: Any) -> tuple[float, float, float, float] | None:
    """x1 y1 x2 y2 in continuous pixels around all of a segmentation; None where there is none or it cannot be read."""
    if isinstance(segmentation, dict):
        return _run_bounds(segmentation)
    if not isinstance(segmentation, list) or not segmentation:
        return None
    polygons = segmentation if isinstance(segmentation[0], list) else [segmentation]
    try:
        numbers = [[float(v) for v in polygon] for polygon in polygons]
    except (TypeError, ValueError, OverflowError):
        return None
    if any(len(row) < 6 or len(row) % 2 or not all(map(math.isfinite, row)) for row in numbers):
        return None
    xs, ys = [x for row in numbers for x in row[::2]], [y for row in numbers for y in row[1::2]]
    return min(xs), min(ys), max(xs), max(ys)


def mask_runs(given: Any) -> tuple[NDArray[np.int64], int, int] | None:
    """The lengths of COCO's runs (int64, 0 first) with the mask's height and width; None for what cannot be read."""
    try:
        height, width = (int(v) for v in given["size"])
        counts = given["counts"]
        runs = np.array(_decoded(counts) if isinstance(counts, str) else counts, dtype=np.int64)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    fits = runs.ndim == 1 and (runs >= 0).all() and 0 < height * width <= _MOST and runs.sum() == height * width
    return (runs, height, width) if fits else None


def _run_bounds(given: dict[str, Any]) -> tuple[float, float, float, float] | None:
    found = mask_runs(given)
    if found is None:
        return None
    runs, height, _ = found
    ends = np.cumsum(runs)
    first, last = ends[:-1:2], ends[1::2] - 1  # runs of 0 and of 1 in turn, 0 first: the first and last pixel of each 1
    filled = last >= first[: len(last)]
    first, last = first[: len(last)][filled], last[filled]
    if not len(first):
        return None
    columns = first // height, last // height
    over = columns[1] > columns[0]  # a run that goes on in the next column touches the top and the bottom
    top = 0 if over.any() else int((first % height).min())
    bottom = height if over.any() else int((last % height).max()) + 1
    return float(columns[0].min()), float(top), float(columns[1].max() + 1), float(bottom)


def _decoded(text: str) -> list[int]:
    """The runs of cocoapi's string: five bits a letter, the sixth says that more follow, from the third run on less the
    run before the last."""
    runs: list[int] = []
    value = shift = 0
    for letter in text.encode("ascii"):
        bits = letter - 48
        if not 0 <= bits < 64 or shift > 60:
            raise ValueError(f"no mask: {text[:40]}")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return runs
