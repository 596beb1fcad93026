"""Outlines of objects, as far as label files have them: which belongs to which box of a set that is written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.data.drawn_mask import DrawnMask, Outline
from edgekit.data.load import load_dataset, suits
from edgekit.data.made import is_made
from edgekit.data.names import ALL
from edgekit.data.sample import Sample
from edgekit.errors import DataError

_SAME = 0.9  # IoU of a box and the one around an outline from which on they are one object


def read_outlines(data: str | os.PathLike[str], splits: Iterable[str]) -> dict[Path, tuple[Outline, ...]]:
    """The outlines in each picture of some splits, by its file; empty where the label files have none."""
    if is_made(data) or not suits(Path(data), "masks"):
        return {}
    found: dict[Path, tuple[Outline, ...]] = {}
    for split in splits:
        try:
            part = load_dataset(data, split=split or ALL, truth="masks")
        except DataError:  # no outlines in this split
            continue
        for sample in part:
            if sample.path is not None and isinstance(sample.mask, DrawnMask):
                drawn = dict.fromkeys(outline for _, outline in sample.mask.outlines)  # two files may say the same
                mine = tuple(outline for outline in drawn if not _is_box(outline))
                if mine:
                    found[sample.path] = mine
    return found


def outlines_of(sample: Sample, known: Mapping[Path, tuple[Outline, ...]]) -> tuple[Outline | None, ...]:
    """For each box of a sample, then each set aside, its outline or None: the one whose own box is most the same."""
    assert sample.boxes is not None
    boxes = np.concatenate([sample.boxes, np.zeros((0, 4)) if sample.ignored_boxes is None else sample.ignored_boxes])
    mine: list[Outline | None] = [None] * len(boxes)
    outlines = known.get(sample.path, ()) if sample.path is not None else ()
    if not outlines or not mine:
        return tuple(mine)
    overlap = _iou(np.array([_around(outline) for outline in outlines]), boxes)
    while overlap.max() >= _SAME:
        i, j = np.unravel_index(int(overlap.argmax()), overlap.shape)
        mine[int(j)] = outlines[int(i)]
        overlap[i], overlap[:, j] = 0, 0
    return tuple(mine)


def _iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64 [N, M]."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = np.prod((high - low).clip(0), axis=2)
    areas = [np.prod((x[:, 2:] - x[:, :2]).clip(0), axis=1) for x in (a, b)]
    return np.asarray(both / np.maximum(areas[0][:, None] + areas[1][None] - both, 1e-9))


def _around(outline: Outline) -> tuple[float, float, float, float]:
    if outline.runs:
        rows, columns = np.nonzero(outline.inside(*outline.shape))
        if not len(rows):
            return 0.0, 0.0, 0.0, 0.0
        return float(columns.min()), float(rows.min()), float(columns.max() + 1), float(rows.max() + 1)
    points = np.array([v for ring in outline.rings for v in ring]).reshape(-1, 2)
    (x1, y1), (x2, y2) = points.min(axis=0), points.max(axis=0)
    return float(x1), float(y1), float(x2), float(y2)


def _is_box(outline: Outline) -> bool:
    """Whether it is an upright rectangle, which says no more than the box."""
    if outline.runs or len(outline.rings) != 1 or len(outline.rings[0]) != 8:
        return False
    points = np.reshape(outline.rings[0], (4, 2))
    return len({*points[:, 0].tolist()}) == len({*points[:, 1].tolist()}) == 2
