"""Formats of certain programs, clouds and sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.data.layouts.made.base import (
    CLASSES,
    SIZES,
    TRUTH,
    boxes,
    picture,
    pictures,
    text,
    writer,
)


@writer
def _vott_json(root: Path) -> None:
    pictures(root / "vott-json-export")
    assets = {}
    for key in TRUTH:
        asset = {
            "name": f"{key}.png",
            "path": f"file:C:/bees/{key}.png",
            "size": dict(zip(("width", "height"), SIZES[key], strict=True)),
        }
        regions = [
            {"type": "RECTANGLE", "tags": [n], "boundingBox": {"left": a, "top": b, "width": c - a, "height": d - b}}
            for n, (a, b, c, d) in TRUTH[key]
        ]
        assets[key * 8] = {"asset": asset, "regions": regions, "version": "2.2.0"}
    tags = [{"name": name, "color": "#fff"} for name in CLASSES]
    text(root / "vott-json-export" / "bees-export.json", {"name": "bees", "tags": tags, "assets": assets})


@writer
def _bdd(root: Path) -> None:
    pictures(root / "images" / "100k")
    frames = []
    for key in TRUTH:
        labels: list[dict[str, Any]] = [
            {"category": n, "box2d": dict(zip(("x1", "y1", "x2", "y2"), box, strict=True))} for n, box in TRUTH[key]
        ]
        frames.append({"name": f"{key}.png", "labels": [*labels, {"category": "lane", "poly2d": []}]})
    text(root / "labels" / "bdd100k_labels_images.json", frames)


@writer
def _ground_truth_manifest(root: Path) -> None:
    pictures(root / "images")
    lines = []
    for key in TRUTH:
        boxes = [
            {"class_id": CLASSES.index(n), "left": a, "top": b, "width": c - a, "height": d - b}
            for n, (a, b, c, d) in TRUTH[key]
        ]
        size = [{"width": SIZES[key][0], "height": SIZES[key][1], "depth": 3}]
        meta = {"class-map": {"0": "bee", "1": "hornet"}, "type": "groundtruth/object-detection"}
        one = {
            "source-ref": f"s3://hive/{key}.png",
            "bees": {"image_size": size, "annotations": boxes},
            "bees-metadata": meta,
        }
        lines.append(json.dumps(one))
    text(root / "output.manifest", "\n".join(lines))


@writer
def _kitti(root: Path) -> None:
    pictures(root / "training" / "image_2")
    for key in TRUTH:
        lines = [
            f"{n} 0.00 0 -1.57 {a:.2f} {b:.2f} {c:.2f} {d:.2f} 1.6 1.5 3.8 1 2 3 4" for n, (a, b, c, d) in TRUTH[key]
        ]
        text(root / "training" / "label_2" / f"{key}.txt", "\n".join(lines))


@writer
def _dota(root: Path) -> None:
    pictures(root / "images")
    for key in TRUTH:
        lines = [f"{a} {b} {c} {b} {c} {d} {a} {d} {n} 0" for n, (a, b, c, d) in TRUTH[key]]
        text(root / "labelTxt" / f"{key}.txt", "\n".join(["imagesource:hive", "gsd:0.1", *lines]))


@writer
def _mot(root: Path) -> None:
    for number, key in enumerate(TRUTH):
        picture(root / "img1" / f"{number:06}.png", key)
    lines = [["abc".index(k), i, a, b, c - a, d - b, 1, -1, -1, -1, n] for i, (k, n, a, b, c, d) in enumerate(boxes())]
    text(root / "gt" / "gt.txt", "\n".join(",".join(map(str, line)) for line in lines))


@writer
def _darklabel(root: Path) -> None:
    pictures(root)
    lines = []
    for number, (_, mine) in enumerate(TRUTH.items()):
        groups = [f"{i},{a},{b},{c},{d},{n}" for i, (n, (a, b, c, d)) in enumerate(mine)]
        lines += [",".join([str(number), str(len(mine)), *groups])] if mine else []
    text(root / "clip.txt", "\n".join(lines))


@writer
def _darwin(root: Path) -> None:
    pictures(root / "images")
    for key in TRUTH:
        boxes = [
            {"name": n, "id": f"{key}{i}", "bounding_box": {"x": a, "y": b, "w": c - a, "h": d - b}}
            for i, (n, (a, b, c, d)) in enumerate(TRUTH[key])
        ]
        slot = {"slot_name": "0", "width": SIZES[key][0], "height": SIZES[key][1], "source_files": []}
        item = {"name": f"{key}.png", "path": "/", "slots": [slot]}
        tag = [{"name": "sunny", "tag": {}}] if boxes else []
        text(root / "annotations" / f"{key}.json", {"version": "2.0", "item": item, "annotations": [*boxes, *tag]})


@writer
def _darwin_1(root: Path) -> None:
    pictures(root)
    for key in TRUTH:
        outlines = [
            {"name": n, "polygon": {"path": [{"x": x, "y": y} for x, y in ((a, b), (c, b), (c, d), (a, d))]},
             "bounding_box": {"x": a, "y": b, "w": c - a, "h": d - b}}
            for n, (a, b, c, d) in TRUTH[key]
        ]  # fmt: skip
        image = {"filename": f"{key}.png", "width": SIZES[key][0], "height": SIZES[key][1], "url": "https://v7"}
        text(root / f"{key}.json", {"dataset": "hive", "image": image, "annotations": outlines})


@writer
def _labelbox(root: Path) -> None:
    pictures(root)
    lines = []
    for key in TRUTH:
        objects = [
            {"name": n, "annotation_kind": "ImageBoundingBox", "feature_id": f"{key}{i}",
             "bounding_box": {"top": b, "left": a, "height": d - b, "width": c - a}}
            for i, (n, (a, b, c, d)) in enumerate(TRUTH[key])
        ]  # fmt: skip
        labels = [{"label_kind": "Default", "annotations": {"objects": objects, "classifications": []}}]
        row = {"id": f"cl{key}", "external_id": f"{key}.png", "row_data": f"https://storage/x-{key}?sig=1"}
        size = {"width": SIZES[key][0], "height": SIZES[key][1]}
        one = {"data_row": row, "media_attributes": size, "projects": {"p1": {"name": "hive", "labels": labels}}}
        lines.append(json.dumps(one))
    text(root / "export.ndjson", "\n".join(lines))


@writer
def _labelbox_old(root: Path) -> None:
    pictures(root)
    items = []
    for key in TRUTH:
        objects = [
            {"title": n, "value": n.lower(), "bbox": {"top": b, "left": a, "height": d - b, "width": c - a}}
            for n, (a, b, c, d) in TRUTH[key]
        ]
        items.append({"ID": key, "Labeled Data": f"https://storage/{key}.png", "Label": {"objects": objects},
                      "External ID": f"{key}.png", "Skipped": False})  # fmt: skip
    text(root / "export.json", items)
