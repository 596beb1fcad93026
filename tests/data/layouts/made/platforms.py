"""The JSON of labelling services and dataset managers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.data.layouts.made.base import CLASSES, SIZES, TRUTH, Box, picture, pictures, text, writer


def _ring(box: Box) -> list[tuple[float, float]]:
    a, b, c, d = box
    return [(a, b), (c, b), (c, d), (a, d)]


def _points(box: Box) -> list[dict[str, float]]:
    return [{"x": x, "y": y} for x, y in _ring(box)]


def _parts(key: str, box: Box) -> tuple[float, float, float, float]:
    (w, h), (a, b, c, d) = SIZES[key], box
    return a / w, b / h, (c - a) / w, (d - b) / h


@writer
def _datumaro(root: Path) -> None:
    items = []
    for key in TRUTH:
        picture(root / "images" / "default" / f"{key}.png")
        objects: list[dict[str, Any]] = [{"id": 0, "type": "label", "attributes": {}, "label_id": 0}]
        for i, (name, box) in enumerate(TRUTH[key], 1):
            a, b, c, d = box
            one = {"id": i, "attributes": {"occluded": False}, "label_id": CLASSES.index(name), "z_order": 0}
            if name == "bee":
                objects.append(one | {"type": "bbox", "bbox": [a, b, c - a, d - b]})
            else:
                objects.append(one | {"type": "polygon", "points": [v for p in _ring(box) for v in p]})
        image = {"path": f"{key}.png", "size": [SIZES[key][1], SIZES[key][0]]}
        items.append({"id": key, "annotations": objects, "attr": {"frame": 0}, "image": image})
    labels = [{"name": name, "parent": "", "attributes": []} for name in CLASSES]
    categories = {"label": {"labels": labels, "attributes": []}, "points": {"items": []}}
    text(root / "annotations" / "default.json", {"info": {}, "categories": categories, "items": items})


@writer
def _fiftyone(root: Path) -> None:
    pictures(root / "data")
    samples = []
    for key in TRUTH:
        objects = [{"_cls": "Detection", "label": name, "bounding_box": _parts(key, box)} for name, box in TRUTH[key]]
        guess = [{"_cls": "Detection", "label": "wasp", "bounding_box": [0.5, 0.5, 0.1, 0.1], "confidence": 0.3}]
        more = {"_cls": "ImageMetadata", "width": SIZES[key][0], "height": SIZES[key][1], "size_bytes": 9}
        samples.append({"filepath": f"data/{key}.png", "tags": ["hive"], "metadata": more, "_media_type": "image",
                        "predictions": {"_cls": "Detections", "detections": guess},
                        "ground_truth": {"_cls": "Detections", "detections": objects}})  # fmt: skip
    text(root / "samples.json", {"samples": samples})
    text(root / "metadata.json", {"name": "hive", "sample_fields": [{"name": "ground_truth"}]})


@writer
def _fiftyone_detections(root: Path) -> None:
    pictures(root / "data")
    labels = {
        key: [{"label": CLASSES.index(name), "bounding_box": _parts(key, box)} for name, box in TRUTH[key]] or None
        for key in TRUTH
    }
    text(root / "labels.json", {"classes": list(CLASSES), "labels": labels})


@writer
def _hasty(root: Path) -> None:
    pictures(root / "Hive 1")
    images = []
    for number, key in enumerate(TRUTH):
        labels = [{"id": f"{key}{i}", "class_name": name, "bbox": list(box), "polygon": None, "z_index": i}
                  for i, (name, box) in enumerate(TRUTH[key])]  # fmt: skip
        images.append({"image_id": str(number), "image_name": f"{key}.png", "dataset_name": "Hive 1",
                       "width": SIZES[key][0], "height": SIZES[key][1], "image_status": "DONE", "tags": [],
                       "labels": labels})  # fmt: skip
    classes = [{"class_name": name, "color": "#fff", "class_type": "object"} for name in CLASSES]
    text(root / "hive.json", {"project_name": "hive", "export_format_version": "1.1", "label_classes": classes,
                              "images": images})  # fmt: skip


@writer
def _scale(root: Path) -> None:
    pictures(root / "images")
    tasks = []
    for key in TRUTH:
        objects: list[dict[str, Any]] = []
        for name, (a, b, c, d) in TRUTH[key]:
            if name == "bee":
                objects.append({"type": "box", "label": name, "left": a, "top": b, "width": c - a, "height": d - b})
            else:
                objects.append({"type": "polygon", "label": name, "vertices": _points((a, b, c, d))})
        params = {"attachment": f"https://hive/{key}.png?sig=1", "attachment_type": "image"}
        tasks.append({"task_id": key, "type": "imageannotation", "status": "completed", "params": params,
                      "response": {"annotations": objects}})  # fmt: skip
    text(root / "tasks.json", tasks)


@writer
def _encord(root: Path) -> None:
    pictures(root / "pics")
    rows = []
    for key in TRUTH:
        objects: list[dict[str, Any]] = []
        for i, (name, box) in enumerate(TRUTH[key]):
            x, y, w, h = _parts(key, box)
            one = {"name": name, "value": name, "objectHash": f"{key}{i}", "color": "#fff"}
            if name == "bee":
                objects.append(one | {"shape": "bounding_box", "boundingBox": {"h": h, "w": w, "x": x, "y": y}})
            else:
                ring = {str(j): {"x": u, "y": v} for j, (u, v) in enumerate(_ring((x, y, x + w, y + h)))}
                objects.append(one | {"shape": "polygon", "polygon": ring})
        unit = {
            "data_hash": key,
            "data_title": f"{key}.png",
            "data_link": "https://x",
            "data_type": "image/png",
            "width": SIZES[key][0],
            "height": SIZES[key][1],
            "labels": {"objects": objects, "classifications": []},
        }
        rows.append({"label_hash": key, "data_title": f"{key}.png", "data_units": {key: unit}, "object_answers": {}})
    text(root / "export.json", rows)


@writer
def _superannotate(root: Path) -> None:
    pictures(root)
    for key in TRUTH:
        objects: list[dict[str, Any]] = [{"type": "tag", "classId": -1}]
        for name, (a, b, c, d) in TRUTH[key]:
            if name == "bee":
                objects.append({"type": "bbox", "className": name, "points": {"x1": a, "x2": c, "y1": b, "y2": d}})
            else:
                flat = [v for p in _ring((a, b, c, d)) for v in p]
                objects.append({"type": "polygon", "classId": 8, "points": flat, "exclude": []})
        more = {"name": f"{key}.png", "width": SIZES[key][0], "height": SIZES[key][1], "status": "Completed"}
        text(root / f"{key}.png___objects.json", {"metadata": more, "instances": objects, "tags": [], "comments": []})
    text(root / "classes" / "classes.json", [{"id": i, "name": n} for i, n in zip((7, 8), CLASSES, strict=True)])


@writer
def _dataloop(root: Path) -> None:
    pictures(root / "items" / "cam")
    for key in TRUTH:
        objects: list[dict[str, Any]] = [{"type": "class", "label": "sunny", "coordinates": {}}]
        for name, box in TRUTH[key]:
            ring = [p | {"z": 0} for p in _points(box)]
            kind, given = ("box", [ring[0], ring[2]]) if name == "bee" else ("segment", [ring])
            objects.append({"type": kind, "label": name, "coordinates": given, "datasetId": "1"})
        system = {"width": SIZES[key][0], "height": SIZES[key][1]}
        text(root / "json" / "cam" / f"{key}.json",
             {"id": key, "datasetId": "1", "filename": f"/cam/{key}.png", "name": f"{key}.png",
              "metadata": {"system": system}, "annotations": objects, "annotated": True})  # fmt: skip


@writer
def _openlabel(root: Path) -> None:
    pictures(root / "cam0")
    known, frames = {}, {}
    for number, key in enumerate(TRUTH):
        mine = {}
        for i, (name, (a, b, c, d)) in enumerate(TRUTH[key]):
            known[f"{key}{i}"] = {"name": f"{name}{i}", "type": name}
            box = {"name": "shape", "val": [(a + c) / 2, (b + d) / 2, c - a, d - b], "coordinate_system": "cam0"}
            mine[f"{key}{i}"] = {"object_data": {"bbox": [box]}}
        streams = {"cam0": {"uri": f"/cam0/{key}.png"}}
        frames[str(number)] = {"frame_properties": {"streams": streams}, "objects": mine}
    metadata = {"schema_version": "1.0.0"}
    text(root / "openlabel.json", {"openlabel": {"metadata": metadata, "objects": known, "frames": frames}})


@writer
def _ibm(root: Path) -> None:
    pictures(root)
    boxes = {}
    for key in TRUTH:
        parts = [(name, _parts(key, box)) for name, box in TRUTH[key]]
        boxes[f"{key}.png"] = [{"x": x, "y": y, "x2": x + w, "y2": y + h, "label": n} for n, (x, y, w, h) in parts]
    text(root / "_annotations.json",
         {"version": "1.0", "type": "localization", "labels": list(CLASSES), "annotations": boxes})  # fmt: skip


@writer
def _unity(root: Path) -> None:
    for key in TRUTH:
        picture(root / f"sequence.{key}" / f"step0.camera_{key}.png", key)
        values = [{"instanceId": i, "labelId": 1, "labelName": name, "origin": [a, b], "dimension": [c - a, d - b]}
                  for i, (name, (a, b, c, d)) in enumerate(TRUTH[key])]  # fmt: skip
        boxes = {"@type": "type.unity.com/unity.solo.BoundingBox2DAnnotation", "id": "bounding box", "values": values}
        one = {"@type": "type.unity.com/unity.solo.RGBCamera", "id": "camera", "filename": f"step0.camera_{key}.png",
               "dimension": list(SIZES[key]), "annotations": [boxes]}  # fmt: skip
        text(root / f"sequence.{key}" / "step0.frame_data.json", {"frame": 0, "captures": [one]})


@writer
def _prodigy(root: Path) -> None:
    pictures(root)
    lines = []
    for key in TRUTH:
        spans = [{"id": str(i), "label": name, "type": "rect", "points": [list(p) for p in _ring(box)]}
                 for i, (name, box) in enumerate(TRUTH[key])]  # fmt: skip
        one = {"image": "data:image/png;base64,AAAA", "text": key, "path": f"/home/u/{key}.png", "spans": spans,
               "width": SIZES[key][0], "height": SIZES[key][1], "answer": "accept"}  # fmt: skip
        lines.append(json.dumps(one))
    text(root / "bees.jsonl", "\n".join(lines))
