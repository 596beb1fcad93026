"""COCO files whose four numbers are two corners: told by what else the file says, and never on a guess."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgekit.data import Dataset, load_dataset

SCENE = ([2, 1, 12, 8], [11, 2, 19, 9], [9, 3, 18, 8], [0, 0, 7, 4], [12, 1, 20, 6])  # corners, in 20 x 10


def a_set(root: Path, file: str, items: list[dict[str, Any]]) -> Dataset:
    """One picture of 20 x 10 and its `items`: boxes with what is said of them."""
    (root / "val").mkdir()
    Image.fromarray(np.zeros((10, 20, 3), np.uint8)).save(root / "val" / "a.png")
    path = root / file
    path.parent.mkdir(exist_ok=True)
    said = [{"id": i, "image_id": 1, "category_id": 1, **item} for i, item in enumerate(items)]
    images, categories = [{"id": 1, "file_name": "a.png", "width": 20, "height": 10}], [{"id": 1, "name": "bee"}]
    path.write_text(json.dumps({"images": images, "annotations": said, "categories": categories}))
    return load_dataset(root if file.startswith("annotations") else path.parent)


def boxes(data: Dataset) -> list[list[float]]:
    (sample,) = data.samples
    assert sample.boxes is not None
    return sorted(sample.boxes.tolist())


@pytest.mark.parametrize("file", ["annotations/instances_val.json", "val/labels.json"])
@pytest.mark.parametrize(
    ("more", "why"),
    [
        (lambda a, b, c, d: {"bbox_mode": 0}, "bbox_mode is 0"),
        (lambda a, b, c, d: {"area": (c - a) * (d - b)}, "their areas are those of corners"),
        (lambda a, b, c, d: {}, "as x y w h most would reach beyond their pictures"),
    ],
)
def test_boxes_that_are_corners_are_read_as_such(
    more: Callable[..., dict[str, Any]], why: str, file: str, tmp_path: Path
) -> None:
    data = a_set(tmp_path, file, [{"bbox": box, **more(*box)} for box in SCENE])
    assert boxes(data) == sorted([float(v) for v in box] for box in SCENE)
    assert [note for note in data.notes if f"5 boxes read as x1 y1 x2 y2, which COCO does not have ({why})" in note]


@pytest.mark.parametrize(
    "items",
    [
        [{"bbox": [a, b, c - a, d - b], "area": (c - a) * (d - b)} for a, b, c, d in SCENE],
        [{"bbox": [a, b, c - a, d - b]} for a, b, c, d in SCENE],
        [{"bbox": [a, b, c - a, d - b], "bbox_mode": 1} for a, b, c, d in SCENE],
        # single boxes that reach out are clipped, as ever
        [{"bbox": [0, 0, 8, 8], "area": 64}, {"bbox": [12, 2, 12, 6], "area": 72}],
        [{"bbox": box} for box in ([1, 1, 4, 3], [2, 2, 5, 4], [3, 1, 9, 5], [10, 2, 19, 9])],
        # two of three reach out, and corners would not: three are too few to tell
        [{"bbox": box} for box in ([2, 1, 12, 8], [9, 3, 12, 6], [10, 1, 14, 7])],
    ],
)
def test_boxes_that_are_none_stay_what_they_are(items: list[dict[str, Any]], tmp_path: Path) -> None:
    data = a_set(tmp_path, "annotations/instances_val.json", items)
    wanted = [[x, y, min(20, x + w), min(10, y + h)] for x, y, w, h in (item["bbox"] for item in items)]
    assert boxes(data) == sorted(wanted)
    assert not [note for note in data.notes if "x1 y1 x2 y2" in note]
