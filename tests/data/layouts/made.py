"""One small set of boxes, written as programs and people write it: each writer fills a folder."""

from __future__ import annotations

import base64
import csv
import io
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Boxes = list[tuple[str, tuple[float, float, float, float]]]
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


# YOLO's rows


@writer
def _labelimg_txt(root: Path) -> None:
    pictures(root)
    text(root / "classes.txt", "bee\nhornet\n")
    for key in TRUTH:
        text(root / f"{key}.txt", rows(key))


@writer
def _labelimg_txt_elsewhere(root: Path) -> None:
    pictures(root / "my pictures")
    text(root / "my boxes" / "classes.txt", "bee\nhornet\n")
    for key in TRUTH:
        text(root / "my boxes" / f"{key}.txt", rows(key))


@writer
def _labelimg_txt_subfolders(root: Path) -> None:
    pictures(root / "images" / "cam1")
    text(root / "classes.txt", "bee\nhornet")
    for key in TRUTH:
        text(root / "labels" / "cam1" / f"{key}.txt", rows(key))


@writer
def _cvat_yolo_11(root: Path) -> None:
    pictures(root / "obj_train_data" / "clip")
    text(root / "obj.names", "bee\nhornet\n")
    text(root / "obj.data", "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n")
    text(root / "train.txt", "".join(f"data/obj_train_data/clip/{key}.png\n" for key in TRUTH))
    for key in TRUTH:
        text(root / "obj_train_data" / "clip" / f"{key}.txt", rows(key))


@writer
def _darknet(root: Path) -> None:
    pictures(root / "img")
    text(root / "cfg" / "insects.data", "classes=2\ntrain=/home/me/list_a.txt\nnames=cfg/insects.list\n")
    text(root / "cfg" / "insects.list", "bee\nhornet\n")
    text(root / "list_a.txt", "".join(f"/home/me/darknet/img/{key}.png\n" for key in TRUTH))
    for key in TRUTH:
        text(root / "img" / f"{key}.txt", rows(key))


@writer
def _label_studio_yolo(root: Path) -> None:
    pictures(root / "images", before="1a2b3c4d-")
    text(root / "classes.txt", "bee\nhornet")
    text(root / "notes.json", {"categories": [{"id": 1, "name": "hornet"}, {"id": 0, "name": "bee"}], "info": {}})
    for key in TRUTH:
        text(root / "labels" / f"1a2b3c4d-{key}.txt", rows(key))


@writer
def _yolo_without_names_but_notes(root: Path) -> None:
    pictures(root / "images")
    text(root / "notes.json", {"categories": [{"id": 1, "name": "hornet"}, {"id": 0, "name": "bee"}], "info": {}})
    for key in TRUTH:
        text(root / "labels" / f"{key}.txt", rows(key))


@writer
def _ultralytics_of_cvat(root: Path) -> None:
    pictures(root / "images" / "train")
    text(root / "data.yaml", "names:\n  0: bee\n  1: hornet\npath: .\ntrain: train.txt\n")
    text(root / "train.txt", "".join(f"data/images/train/{key}.png\n" for key in TRUTH))
    for key in TRUTH:
        text(root / "labels" / "train" / f"{key}.txt", rows(key))


@writer
def _yolo_of_another_computer(root: Path) -> None:
    pictures(root / "images" / "train")
    text(root / "data.yaml", "path: C:\\Users\\me\\insects\ntrain: images/train\nnames: {0: bee, 1: hornet}\n")
    for key in TRUTH:
        text(root / "labels" / "train" / f"{key}.txt", rows(key))


@writer
def _roboflow_darknet(root: Path) -> None:
    pictures(root / "train", ".png", "")
    text(root / "train" / "_darknet.labels", "bee\nhornet")
    for key in TRUTH:
        text(root / "train" / f"{key}.txt", rows(key))


# Pascal VOC's XML


@writer
def _labelimg_xml(root: Path) -> None:
    pictures(root)
    for key in TRUTH:
        text(root / f"{key}.xml", xml(key))


@writer
def _labelimg_xml_elsewhere(root: Path) -> None:
    pictures(root / "photos")
    for key in TRUTH:
        text(root / "boxes" / f"{key}.xml", xml(key))


@writer
def _kaggle_voc(root: Path) -> None:
    pictures(root / "images")
    for key in TRUTH:
        text(root / "annotations" / "xmls" / f"{key}.xml", xml(key))


@writer
def _roboflow_voc(root: Path) -> None:
    for key in TRUTH:
        picture(root / "train" / f"{key}.png")
        text(root / "train" / f"{key}.xml", xml(key))


@writer
def _voc_named_by_filename(root: Path) -> None:
    pictures(root / "images")
    for i, key in enumerate(TRUTH):
        text(root / "annotations" / f"label_{i:03}.xml", xml(key))


@writer
def _devkit_of_two_years(root: Path) -> None:
    for year, keys in (("VOC2007", "ab"), ("VOC2012", "c")):
        folder = root / "VOCdevkit" / year
        text(folder / "ImageSets" / "Main" / "trainval.txt", "".join(f"{key}\n" for key in keys))
        for key in keys:
            picture(folder / "JPEGImages" / f"{key}.png")
            text(folder / "Annotations" / f"{key}.xml", xml(key))


# COCO


@writer
def _label_studio_coco(root: Path) -> None:
    pictures(root / "images", before="1a2b3c4d-my ")
    text(root / "result.json", coco("images/1a2b3c4d-my%20{}.png".format, ids=(0, 1)))


@writer
def _label_studio_coco_of_its_server(root: Path) -> None:
    pictures(root / "images")
    text(root / "result.json", coco("../../label-studio/media/upload/3/1a2b3c4d-{}.png".format))


@writer
def _coco_flat(root: Path) -> None:
    pictures(root)
    text(root / "annotations.json", coco())


@writer
def _coco_roboflow(root: Path) -> None:
    pictures(root / "train")
    text(root / "train" / "_annotations.coco.json", coco())


@writer
def _coco_cvat(root: Path) -> None:
    pictures(root / "images" / "default")
    text(root / "annotations" / "instances_default.json", coco())


@writer
def _coco_folders_in_names(root: Path) -> None:
    pictures(root / "data" / "cam 1")
    text(root / "labels" / "labels.json", coco("cam 1/{}.png".format))


@writer
def _coco_paths_of_windows(root: Path) -> None:
    pictures(root / "pics")
    text(root / "coco.json", coco("D:\\hive\\pics\\{}.png".format))


@writer
def _coco_ids_as_texts(root: Path) -> None:
    pictures(root / "images")
    text(root / "annotations" / "instances_default.json", coco(ids=("17", "9000")))


@writer
def _coco_boxes_as_texts(root: Path) -> None:
    pictures(root / "images")
    text(root / "annotations.json", coco(number=str, ids=(3, 90), more={"iscrowd": False, "area": None}))


@writer
def _coco_polygons_alone(root: Path) -> None:
    pictures(root / "images")
    text(root / "dataset.json", coco(polygons=True))


@writer
def _coco_instances_elsewhere(root: Path) -> None:
    pictures(root / "all my pictures")
    text(root / "annotations" / "instances_train.json", coco())


# JSON of programs


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


# tables


def table(path: Path, lines: list[list[str]], comma: str = ",") -> None:
    stream = io.StringIO()
    csv.writer(stream, delimiter=comma).writerows(lines)
    text(path, stream.getvalue())


def boxes() -> list[tuple[str, str, float, float, float, float]]:
    return [(key, name, *box) for key, mine in TRUTH.items() for name, box in mine]


@writer
def _tf_csv(root: Path) -> None:
    pictures(root / "images")
    head = [["filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax"]]
    size = {key: [str(v) for v in SIZES[key]] for key in TRUTH}
    table(root / "annotations.csv", head + [[f"{k}.png", *size[k], n, *map(str, box)] for k, n, *box in boxes()])


@writer
def _csv_semicolon(root: Path) -> None:
    pictures(root)
    head = [["Image", "Species", "Left", "Top", "Right", "Bottom"]]
    table(root / "boxes.csv", head + [[f"{k}.png", n, *map(str, box)] for k, n, *box in boxes()], ";")


@writer
def _csv_decimal_commas(root: Path) -> None:
    pictures(root)
    head = [["Bild", "file", "label", "xmin", "ymin", "xmax", "ymax"]]
    lines = [[str(i), f"{k}.png", n, *(f"{v},0" for v in box)] for i, (k, n, *box) in enumerate(boxes())]
    table(root / "boxes.csv", head + lines, ";")


@writer
def _tsv(root: Path) -> None:
    pictures(root)
    head = [["image_path", "x_min", "y_min", "x_max", "y_max", "label"]]
    table(root / "boxes.tsv", head + [[f"C:\\x\\{k}.png", *map(str, box), n] for k, n, *box in boxes()], "\t")


@writer
def _vott_csv(root: Path) -> None:
    pictures(root / "vott-csv-export")
    head = [["image", "xmin", "ymin", "xmax", "ymax", "label"]]
    path = root / "vott-csv-export" / "bees-export.csv"
    table(path, head + [[f"{k}.png", *(f"{v:.6f}" for v in box), n] for k, n, *box in boxes()])


@writer
def _retinanet(root: Path) -> None:
    pictures(root / "images")
    lines = [[f"images/{k}.png", *map(str, box), n] for k, n, *box in boxes()]
    table(root / "annotations.csv", [*lines, ["images/c.png", "", "", "", "", ""]])
    table(root / "classes.csv", [["bee", "0"], ["hornet", "1"]])


@writer
def _kaggle_bbox(root: Path) -> None:
    pictures(root / "train")
    head = [["image_id", "width", "height", "bbox", "label"]]
    lines = [
        [k, str(SIZES[k][0]), str(SIZES[k][1]), f"[{x1}, {y1}, {x2 - x1}, {y2 - y1}]", n]
        for k, n, x1, y1, x2, y2 in boxes()
    ]
    table(root / "train.csv", [*head, *lines, ["c", "64", "64", "", ""]])


@writer
def _kaggle_x_y_width_height(root: Path) -> None:
    pictures(root / "stage_2_images")
    head = [["patientId", "x", "y", "width", "height", "class"]]
    lines = [[k, str(x1), str(y1), str(x2 - x1), str(y2 - y1), n] for k, n, x1, y1, x2, y2 in boxes()]
    table(root / "stage_2_train_labels.csv", [*head, *lines, ["c", "", "", "", "", ""]])


def _open_images(boxes_file: Path, names_file: Path) -> None:
    head = [["ImageID", "Source", "LabelName", "Confidence", "XMin", "XMax", "YMin", "YMax", "IsOccluded", "IsGroupOf"]]
    lines = []
    for key, name, x1, y1, x2, y2 in boxes():
        w, h = SIZES[key]
        code = {"bee": "/m/01h3n", "hornet": "/m/0h8my"}[name]
        lines.append([key, "xclick", code, "1", *(f"{v:.8f}" for v in (x1 / w, x2 / w, y1 / h, y2 / h)), "0", "0"])
    table(boxes_file, head + lines)
    table(names_file, [["/m/01h3n", "bee"], ["/m/0h8my", "hornet"]])


@writer
def _openimages(root: Path) -> None:
    pictures(root / "train", ".jpg")
    _open_images(root / "train-annotations-bbox.csv", root / "class-descriptions-boxable.csv")


@writer
def _openimages_fiftyone(root: Path) -> None:
    pictures(root / "data", ".jpg")
    _open_images(root / "labels" / "detections.csv", root / "metadata" / "classes.csv")


@writer
def _csv_parts(root: Path) -> None:
    pictures(root)
    head = [["file", "class", "x1", "y1", "x2", "y2"]]
    lines = []
    for key, name, x1, y1, x2, y2 in boxes():
        w, h = SIZES[key]
        lines.append([f"{key}.png", name, *(f"{v:.8f}" for v in (x1 / w, y1 / h, x2 / w, y2 / h))])
    table(root / "labels.csv", head + lines)


@writer
def _csv_centres(root: Path) -> None:
    pictures(root)
    head = [["image_name", "class_name", "x_center", "y_center", "width", "height"]]
    lines = [[f"{k}.png", n, *map(str, ((a + c) / 2, (b + d) / 2, c - a, d - b))] for k, n, a, b, c, d in boxes()]
    table(root / "labels.csv", head + lines)


@writer
def _automl(root: Path) -> None:
    pictures(root / "images")
    lines = []
    for key, name, x1, y1, x2, y2 in boxes():
        w, h = SIZES[key]
        cells = [f"{v:.8f}" for v in (x1 / w, y1 / h, x2 / w, y2 / h)]
        lines.append(["UNASSIGNED", f"gs://bucket/hive/{key}.png", name, *cells[:2], "", "", *cells[2:], "", ""])
    table(root / "import.csv", lines)


@writer
def _makesense(root: Path) -> None:
    pictures(root)
    lines = [
        [n, str(x1), str(y1), str(x2 - x1), str(y2 - y1), f"{k}.png", *map(str, SIZES[k])]
        for k, n, x1, y1, x2, y2 in boxes()
    ]
    table(root / "labels_my-project.csv", lines)


# formats of certain programs and sets


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
