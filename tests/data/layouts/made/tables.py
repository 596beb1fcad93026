"""Tables of boxes under many headers, and without one."""

from __future__ import annotations

from pathlib import Path

from tests.data.layouts.made.base import (
    SIZES,
    TRUTH,
    boxes,
    pictures,
    table,
    writer,
)


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
