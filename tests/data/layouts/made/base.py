"""The small set of boxes, the list of its writers, and what several write: pictures, rows, XML, COCO, tables."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Box = tuple[float, float, float, float]
Boxes = list[tuple[str, Box]]
SIZES = {"a": (80, 60), "b": (100, 50), "c": (64, 64)}
# class and x1 y1 x2 y2 in continuous pixels; c is known to have none
TRUTH: dict[str, Boxes] = {
    "a": [("bee", (10, 20, 30, 50)), ("hornet", (40, 5, 78, 25))],
    "b": [("hornet", (0, 0, 25, 40))],
    "c": [],
}
CLASSES = ("bee", "hornet")
WRITERS: dict[str, Callable[[Path], None]] = {}
NO_EMPTY = {"retinanet-without-empty", "tf-csv", "openimages", "openimages-fiftyone", "automl", "makesense",
            "csv-parts", "tsv", "csv-centres", "vott-csv", "csv-semicolon", "csv-decimal-commas", "mot",
            "darklabel"}  # fmt: skip


def writer(function: Callable[[Path], None]) -> Callable[[Path], None]:
    WRITERS[function.__name__.removeprefix("_").replace("_", "-")] = function
    return function


def picture(path: Path, key: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    w, h = SIZES[key or path.stem]
    Image.fromarray(np.full((h, w, 3), 40 * (1 + "abc".index(key or path.stem)), np.uint8)).save(path)
    return path


def pictures(folder: Path, suffix: str = ".png", before: str = "") -> None:
    for key in TRUTH:
        picture(folder / f"{before}{key}{suffix}", key)


def text(path: Path, content: str | Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")


def rows(key: str) -> str:
    w, h = SIZES[key]
    lines = []
    for name, (x1, y1, x2, y2) in TRUTH[key]:
        cells = ((x1 + x2) / 2 / w, (y1 + y2) / 2 / h, (x2 - x1) / w, (y2 - y1) / h)
        lines.append(f"{CLASSES.index(name)} " + " ".join(f"{v:.8f}" for v in cells))
    return "\n".join(lines)


def xml(key: str, filename: str = "") -> str:
    objects = "".join(
        f"<object><name>{name}</name><pose>Unspecified</pose><truncated>0</truncated><difficult>0</difficult><bndbox>"
        f"<xmin>{x1 + 1:g}</xmin><ymin>{y1 + 1:g}</ymin><xmax>{x2:g}</xmax><ymax>{y2:g}</ymax></bndbox>"
        f"<part><name>head</name><bndbox><xmin>2</xmin><ymin>2</ymin><xmax>4</xmax><ymax>4</ymax></bndbox></part></object>"
        for name, (x1, y1, x2, y2) in TRUTH[key]
    )
    w, h = SIZES[key]
    size = f"<size><width>{w}</width><height>{h}</height><depth>3</depth></size>"
    return f"<annotation><folder>x</folder><filename>{filename or key}.png</filename>{size}{objects}</annotation>"


def coco(names: Callable[[str], str] = "{}.png".format, **how: Any) -> dict[str, Any]:
    ids = how.get("ids", (1, 2))
    images = [
        {"id": i, "file_name": names(key), "width": SIZES[key][0], "height": SIZES[key][1]}
        for i, key in enumerate(how.get("keys", TRUTH))
    ]
    annotations: list[dict[str, Any]] = []
    for image, key in zip(images, how.get("keys", TRUTH), strict=True):
        for name, (x1, y1, x2, y2) in TRUTH[key]:
            item = {"id": len(annotations), "image_id": image["id"], "category_id": ids[CLASSES.index(name)]}
            item["bbox"] = [how.get("number", float)(v) for v in (x1, y1, x2 - x1, y2 - y1)]
            annotations.append(item | how.get("more", {}))
            if how.get("polygons"):
                annotations[-1]["segmentation"] = [[x1, y1, x2, y1, x2, y2, x1, y2]]
                annotations[-1]["bbox"] = []
    categories = [{"id": i, "name": name, "supercategory": "insect"} for i, name in zip(ids, CLASSES, strict=True)]
    return {"info": {}, "licenses": [], "images": images, "annotations": annotations, "categories": categories[::-1]}


def table(path: Path, lines: list[list[str]], comma: str = ",") -> None:
    stream = io.StringIO()
    csv.writer(stream, delimiter=comma).writerows(lines)
    text(path, stream.getvalue())


def boxes() -> list[tuple[str, str, float, float, float, float]]:
    return [(key, name, *box) for key, mine in TRUTH.items() for name, box in mine]
