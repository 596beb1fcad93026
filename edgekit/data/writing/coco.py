"""COCO: annotations/instances_<split>.json, and the pictures of a split in a folder of its name (cocodataset.org)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgekit.data.drawn_mask import Outline
from edgekit.data.writing.picture import Layout, Placed
from edgekit.screen import count_of


def _texts(pictures: Sequence[Placed], classes: Sequence[str]) -> dict[Path, str]:
    categories = [{"id": i, "name": name, "supercategory": ""} for i, name in enumerate(classes, 1)]
    found = {}
    for split in dict.fromkeys(one.split for one in pictures):
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for number, one in enumerate((one for one in pictures if one.split == split), 1):
            images.append({"id": number, "file_name": one.file, "width": one.width, "height": one.height})
            for item in _objects(one):
                annotations.append({"id": len(annotations) + 1, "image_id": number, **item})
        content = {"info": {}, "licenses": [], "images": images, "annotations": annotations, "categories": categories}
        found[Path("annotations", f"instances_{split}.json")] = json.dumps(content, ensure_ascii=False)
    return found


def _objects(one: Placed) -> list[dict[str, Any]]:
    stated = one.sample.box_areas
    areas: list[float | None] = [None] * len(one.labels()) if stated is None else [float(str(area)) for area in stated]
    boxes = [*one.boxes().tolist(), *one.aside().tolist()]
    labels = [*one.labels(), *one.aside_labels()]
    crowds = [0] * len(one.labels()) + [1] * len(one.aside_labels())
    areas += [None] * len(one.aside_labels())
    drawn = [_segmentation(outline, one.height, one.width) for outline in one.outlines] or [[] for _ in boxes]
    return [_object(*item) for item in zip(boxes, labels, areas, crowds, drawn, strict=True)]


def _object(box: list[float], label: int, area: float | None, crowd: int, segmentation: Any) -> dict[str, Any]:
    x1, y1, x2, y2 = box
    w, h = x2 - x1, y2 - y1
    return {
        "category_id": label + 1,
        "bbox": [x1, y1, w, h],
        "area": w * h if area is None else area,
        "iscrowd": crowd,
        "segmentation": segmentation,
    }


def _segmentation(outline: Outline | None, height: int, width: int) -> Any:
    """Polygons, x y x y .., or runs of pixels down the columns, not compressed; runs too where there are holes."""
    if outline is None:
        return []
    if outline.holes:
        outline = Outline.of_mask(outline.inside(height, width))
    if outline.runs:
        return {"size": list(outline.shape), "counts": list(outline.runs)}
    return [list(ring) for ring in outline.rings]


def _lost(pictures: Sequence[Placed], classes: Sequence[str]) -> tuple[str, ...]:
    n = sum(one.unmatched for one in pictures)
    return (f"{count_of(n, 'outline')} not carried, without a box that is the one around",) if n else ()


COCO = Layout("coco", Path, _texts, _lost)
