"""YOLO's rows, Pascal VOC's XML and COCO, in the folders that tools and people lay them into."""

from __future__ import annotations

from pathlib import Path

from tests.data.layouts.made.base import (
    TRUTH,
    coco,
    picture,
    pictures,
    rows,
    text,
    writer,
    xml,
)

# YOLO's rows


@writer
def _yolo_predictions(root: Path) -> None:
    pictures(root / "images")
    text(root / "data.yaml", "names: [bee, hornet]\nval: images\n")
    for key in TRUTH:
        text(root / "labels" / f"{key}.txt", "".join(f"{row} 0.87\n" for row in rows(key).splitlines()))


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
