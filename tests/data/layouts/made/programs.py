"""The JSON, XML and CSV of labelling programs."""

from __future__ import annotations

import base64
import io
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.data.layouts.made.base import (
    CLASSES,
    SIZES,
    TRUTH,
    picture,
    pictures,
    table,
    text,
    writer,
)


@writer
def _labelme(root: Path) -> None:
    pictures(root)
    for key in TRUTH:
        text(root / f"{key}.json", labelme(key))


@writer
def _labelme_apart(root: Path) -> None:
    pictures(root / "pics")
    for key in TRUTH:
        text(root / "json" / f"{key}.json", labelme(key, "..\\pics\\"))


def labelme(key: str, before: str = "") -> dict[str, Any]:
    shapes = []
    for name, (x1, y1, x2, y2) in TRUTH[key]:
        two = name == "bee"
        points = [[x2, y1], [x1, y2]] if two else [[x1, y1], [x2, y1], [x2, y2], [x1, y2]]
        shapes.append({"label": name, "points": points, "shape_type": "rectangle" if two else "polygon", "flags": {}})
    w, h = SIZES[key]
    image = base64.b64encode(b"x" * 500).decode()
    return {"version": "5.4", "flags": {}, "shapes": shapes, "imagePath": f"{before}{key}.png", "imageData": image,
            "imageHeight": h, "imageWidth": w}  # fmt: skip


def percent(key: str) -> list[dict[str, Any]]:
    w, h = SIZES[key]
    found = []
    for name, (x1, y1, x2, y2) in TRUTH[key]:
        value = {"x": x1 / w * 100, "y": y1 / h * 100, "width": (x2 - x1) / w * 100, "height": (y2 - y1) / h * 100}
        value |= {"rotation": 0, "rectanglelabels": [name]}
        found.append({"type": "rectanglelabels", "value": value, "original_width": w, "original_height": h,
                      "from_name": "label", "to_name": "image"})  # fmt: skip
    return found


@writer
def _label_studio_json(root: Path) -> None:
    pictures(root / "upload")
    tasks = [
        {"id": i, "data": {"image": f"/data/upload/1/deadbeef-{key}.png"}, "annotations": [{"result": percent(key)}],
         "predictions": [{"result": percent("a")}]}
        for i, key in enumerate(TRUTH)
    ]  # fmt: skip
    text(root / "project-1-at-2026.json", tasks)


@writer
def _label_studio_min(root: Path) -> None:
    pictures(root / "hive 1")
    tasks = []
    for key in TRUTH:
        label = [
            item["value"] | {"original_width": SIZES[key][0], "original_height": SIZES[key][1]} for item in percent(key)
        ]
        tasks.append({"image": f"/data/local-files/?d=hive%201/{key}.png", "id": 1, "label": label, "annotator": 1})
    text(root / "min.json", tasks)


def via(key: str) -> dict[str, Any]:
    regions = []
    for name, (x1, y1, x2, y2) in TRUTH[key]:
        shape: dict[str, Any] = {"name": "rect", "x": x1, "y": y1, "width": x2 - x1, "height": y2 - y1}
        if name == "bee":
            shape = {"name": "polygon", "all_points_x": [x1, x2, x2, x1], "all_points_y": [y1, y1, y2, y2]}
        regions.append({"shape_attributes": shape, "region_attributes": {"quality": {"good": True}, "class": name}})
    return {"filename": f"{key}.png", "size": 999, "regions": regions, "file_attributes": {}}


@writer
def _via_json(root: Path) -> None:
    pictures(root)
    text(root / "via_region_data.json", {f"{key}.png999": via(key) for key in TRUTH})


@writer
def _via_of_version_1(root: Path) -> None:
    pictures(root)
    whole = {f"{key}.png999": via(key) for key in TRUTH}
    for one in whole.values():
        one["regions"] = {str(i): region for i, region in enumerate(one["regions"])}
    text(root / "via_region_data.json", whole)


@writer
def _via_project(root: Path) -> None:
    pictures(root / "img")
    metadata = {f"{key}.png999": via(key) for key in TRUTH}
    text(root / "via_project.json", {"_via_settings": {}, "_via_img_metadata": metadata, "_via_attributes": {}})


@writer
def _via_csv(root: Path) -> None:
    pictures(root)
    lines = [["filename", "file_size", "file_attributes", "region_count", "region_id", "region_shape_attributes",
              "region_attributes"]]  # fmt: skip
    for key in TRUTH:
        one = via(key)
        for i, region in enumerate(one["regions"] or [{"shape_attributes": {}, "region_attributes": {}}]):
            cells = [json.dumps(region[part]) for part in ("shape_attributes", "region_attributes")]
            lines.append([f"{key}.png", "999", "{}", str(len(one["regions"])), str(i), *cells])
    table(root / "via_export.csv", lines)


@writer
def _via_3(root: Path) -> None:
    pictures(root)
    files, views = {}, {}
    metadata: dict[str, Any] = {}
    for number, key in enumerate(TRUTH, 1):
        files[str(number)] = {"fid": str(number), "fname": f"{key}.png", "type": 2, "loc": 1, "src": ""}
        views[str(number)] = {"fid_list": [str(number)]}
        for name, (x1, y1, x2, y2) in TRUTH[key]:
            one = {"vid": str(number), "flg": 0, "z": [], "xy": [2, x1, y1, x2 - x1, y2 - y1]}
            metadata[f"{number}_{len(metadata)}"] = one | {"av": {"1": str(CLASSES.index(name))}}
    attribute = {"1": {"aname": "class", "type": 4, "options": {"0": "bee", "1": "hornet"}}}
    text(root / "via3.json", {"project": {}, "config": {}, "attribute": attribute, "file": files,
                              "metadata": metadata, "view": views})  # fmt: skip


@writer
def _create_ml(root: Path) -> None:
    pictures(root / "train")
    whole = []
    for key in TRUTH:
        boxes = [
            {
                "label": name,
                "coordinates": {"x": (x1 + x2) / 2, "y": (y1 + y2) / 2, "width": x2 - x1, "height": y2 - y1},
            }
            for name, (x1, y1, x2, y2) in TRUTH[key]
        ]
        whole.append({"image": f"{key}.png", "annotations": boxes})
    text(root / "train" / "_annotations.createml.json", whole)


@writer
def _supervisely(root: Path) -> None:
    pictures(root / "ds0" / "img")
    text(root / "meta.json", {"classes": [{"title": n, "shape": "any"} for n in CLASSES], "tags": []})
    for key in TRUTH:
        objects = []
        for name, (x1, y1, x2, y2) in TRUTH[key]:
            one = {"classTitle": name, "geometryType": "rectangle"}
            points: dict[str, Any] = {"exterior": [[x1, y1], [x2, y2]], "interior": []}
            if name == "bee":
                stream = io.BytesIO()
                Image.fromarray(np.full((int(y2 - y1), int(x2 - x1)), 255, np.uint8)).save(stream, "PNG")
                data = base64.b64encode(zlib.compress(stream.getvalue())).decode()
                one |= {"geometryType": "bitmap", "bitmap": {"data": data, "origin": [x1, y1]}}  # type: ignore[dict-item]
            objects.append(one | {"points": points, "tags": []})
        size = {"width": SIZES[key][0], "height": SIZES[key][1]}
        text(
            root / "ds0" / "ann" / f"{key}.png.json", {"description": "", "tags": [], "size": size, "objects": objects}
        )


@writer
def _bbox_label_tool(root: Path) -> None:
    pictures(root / "Images" / "001")
    for key, mine in TRUTH.items():
        lines = [f"{a} {b} {c} {d} {name}" for name, (a, b, c, d) in mine]
        text(root / "Labels" / "001" / f"{key}.txt", "\n".join([str(len(mine)), *lines]) + "\n")


@writer
def _cvat_xml(root: Path) -> None:
    pictures(root / "images" / "cam")
    images = []
    for number, key in enumerate(TRUTH):
        shapes = "".join(
            f'<box label="{name}" occluded="0" xtl="{x1}" ytl="{y1}" xbr="{x2}" ybr="{y2}" z_order="0">'
            '<attribute name="sex">w</attribute></box>' if name == "bee" else
            f'<polygon label="{name}" points="{x1},{y1};{x2},{y1};{x2},{y2};{x1},{y2}"/>'
            for name, (x1, y1, x2, y2) in TRUTH[key]
        )  # fmt: skip
        w, h = SIZES[key]
        images.append(f'<image id="{number}" name="cam/{key}.png" width="{w}" height="{h}">{shapes}</image>')
    labels = "".join(f"<label><name>{name}</name><color>#fff</color></label>" for name in CLASSES)
    meta = f"<meta><job><id>1</id><labels>{labels}</labels></job></meta>"
    text(root / "annotations.xml", f'<?xml version="1.0"?><annotations><version>1.1</version>{meta}{"".join(images)}'
                                   "</annotations>")  # fmt: skip


@writer
def _cvat_video(root: Path) -> None:
    tracks = ""
    for number, key in enumerate(TRUTH):
        picture(root / "images" / f"frame_{number:06}.PNG", key)
        for name, (x1, y1, x2, y2) in TRUTH[key]:
            place = f'xtl="{x1}" ytl="{y1}" xbr="{x2}" ybr="{y2}"'
            tracks += (
                f'<track id="0" label="{name}"><box frame="{number}" outside="0" keyframe="1" {place}/>'
                f'<box frame="{(number + 1) % 3 if number else 2}" outside="1" keyframe="1" {place}/></track>'
            )
    text(root / "annotations.xml", f"<annotations><version>1.1</version><meta/>{tracks}</annotations>")
