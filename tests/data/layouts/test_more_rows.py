"""Rows of exports: Label Studio's CSV, a line a picture, JSON lines of clouds, class and corners; and packed sets."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from edgekit.data import load_dataset
from edgekit.errors import DataError
from tests.data.layouts.made import CLASSES, SIZES, TRUTH, WRITERS, percent, pictures, text
from tests.data.layouts.test_label_files import found


def label_studio_csv(root: Path) -> None:
    pictures(root / "upload")
    with (root / "project-1.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["annotation_id", "annotator", "id", "image", "label", "lead_time"])
        for i, key in enumerate(TRUTH):
            w, h = SIZES[key]
            boxes = [one["value"] | {"original_width": w, "original_height": h} for one in percent(key)]
            rows.writerow([i, 1, i, f"/data/upload/1/deadbeef-{key}.png", json.dumps(boxes) if boxes else "", 3.2])


def keras_yolo(root: Path) -> None:
    pictures(root / "train")
    text(root / "train" / "_classes.txt", "bee\nhornet\n")
    lines = [
        " ".join([f"{key}.png", *(",".join(map(str, (*box, CLASSES.index(name)))) for name, box in TRUTH[key])])
        for key in TRUTH
    ]
    text(root / "train" / "_annotations.txt", "\n".join(lines[:2]))
    (root / "valid").mkdir()
    (root / "train" / "c.png").rename(root / "valid" / "c.png")
    text(root / "valid" / "_annotations.txt", lines[2])  # nothing but a picture without objects
    text(root / "valid" / "_classes.txt", "bee\nhornet\n")


def vertex(root: Path) -> None:
    pictures(root / "images")
    lines = []
    for key in TRUTH:
        w, h = SIZES[key]
        boxes = [
            {"displayName": name, "xMin": a / w, "yMin": b / h, "xMax": c / w, "yMax": d / h}
            for name, (a, b, c, d) in TRUTH[key]
        ]
        lines.append(json.dumps({"imageGcsUri": f"gs://hive/{key}.png", "boundingBoxAnnotations": boxes}))
    text(root / "import.jsonl", "\n".join(lines))


def azure(root: Path) -> None:
    pictures(root / "images")
    lines = []
    for key in TRUTH:
        w, h = SIZES[key]
        boxes = [
            {"label": name, "topX": a / w, "topY": b / h, "bottomX": c / w, "bottomY": d / h, "isCrowd": 0}
            for name, (a, b, c, d) in TRUTH[key]
        ]
        lines.append(json.dumps({"image_url": f"azureml://hive/{key}.png", "label": boxes}))
    text(root / "annotations.jsonl", "\n".join(lines))


def crowdhuman(root: Path) -> None:
    pictures(root / "Images", ".jpg")
    lines = []
    for key in TRUTH:
        boxes = [{"tag": name, "fbox": [a, b, c - a, d - b], "hbox": [a, b, 1, 1]} for name, (a, b, c, d) in TRUTH[key]]
        lines.append(json.dumps({"ID": key, "gtboxes": boxes}))
    text(root / "annotation_train.odgt", "\n".join(lines))


def hugging_face(root: Path) -> None:
    pictures(root / "train")
    lines = []
    for key in TRUTH:
        objects = {"bbox": [[a, b, c - a, d - b] for _, (a, b, c, d) in TRUTH[key]], "area": [1] * len(TRUTH[key])}
        lines.append(
            json.dumps({"file_name": f"{key}.png", "objects": objects | {"category": [n for n, _ in TRUTH[key]]}})
        )
    text(root / "train" / "metadata.jsonl", "\n".join(lines))


def named(root: Path) -> None:
    pictures(root)
    for key in TRUTH:
        rows = "".join(f"{name} {a} {b}.0 {c} {d}\n" for name, (a, b, c, d) in TRUTH[key])
        text(root / "Label" / f"{key}.txt", rows)


@pytest.mark.parametrize("write", [label_studio_csv, keras_yolo, vertex, azure, crowdhuman, hugging_face, named])
def test_it_is_read_with_the_right_boxes(write, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write(tmp_path)
    read = found(tmp_path, split="all")
    assert set(read) == set(TRUTH)
    for key, boxes in TRUTH.items():
        got = sorted((name, [round(v, 3) for v in box]) for name, box in read[key])
        assert got == sorted((name, list(map(float, box))) for name, box in boxes)


@pytest.mark.parametrize(
    ("write", "file", "old", "new", "said"),
    [
        (keras_yolo, "train/_annotations.txt", ",1 ", ",7 ", "class that does not exist"),
        (keras_yolo, "train/_annotations.txt", "10,20,30,50,0", "10,20,30", "line 1"),
        (vertex, "import.jsonl", "displayName", "name", "line 1"),
        (crowdhuman, "annotation_train.odgt", "]}", "", "line 1"),
        (hugging_face, "train/metadata.jsonl", "category", "kind", "line 1: no classes"),
        (hugging_face, "train/metadata.jsonl", '"hornet"]', "]", "line 1"),
        (label_studio_csv, "project-1.csv", "}]", "}", "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_told(write, file: str, old: str, new: str, said: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write(tmp_path)
    content = (tmp_path / file).read_text().replace("\n", " \n")
    assert old in content
    (tmp_path / file).write_text(content.replace(old, new))
    with pytest.raises(DataError, match=said):
        load_dataset(tmp_path, split="all")


def test_parts_behind_a_name_are_left_out_and_named(tmp_path: Path) -> None:
    named(tmp_path)
    text(tmp_path / "Label" / "a.txt", "bee 0.25 0.25 0.5 0.5\n")
    data = load_dataset(tmp_path, split="all")
    assert {sample.name for sample in data} == {"b.png", "c.png"}
    assert any("a.png" in note and "corners or a centre" in note for note in data.notes)


@pytest.mark.parametrize("name", ["set.zip", "set.tar.gz", "set.tfrecord"])
def test_a_packed_set_is_told_to_be_unpacked(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"PK\3\4" + bytes(64))
    with pytest.raises(DataError, match="packed into one file"):
        load_dataset(tmp_path / name)


def test_a_confidence_behind_a_row_is_not_read_and_said(tmp_path: Path) -> None:
    WRITERS["yolo-predictions"](tmp_path)
    notes = load_dataset(tmp_path, None, "val").notes
    assert any("3 rows with a confidence or a track" in note and "guesses?" in note for note in notes), notes


def test_a_count_that_is_not_that_of_the_boxes_leaves_its_picture_out(tmp_path: Path) -> None:
    WRITERS["bbox-label-tool"](tmp_path)
    file = tmp_path / "Labels" / "001" / "a.txt"
    text(file, file.read_text().replace("2\n", "3\n", 1))
    data = load_dataset(tmp_path)
    assert {Path(sample.name).stem for sample in data} == {"b", "c"}
    assert any("its first line is 3, and it has 2 boxes" in note for note in data.notes), data.notes
