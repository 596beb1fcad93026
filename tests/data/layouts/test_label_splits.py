"""Splits of sets whose label files lie anywhere: pictures of one name in both, and every way to say which is which."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.config.recipe import Data
from edgekit.data import load_dataset
from edgekit.data.layouts.files.split_names import split_in
from edgekit.errors import DataError
from edgekit.training.splits import load_splits
from tests.data.layouts.made import CLASSES, TRUTH, boxes, coco, labelme, picture, pictures, rows, table, text, xml

SPLITS = ("train", "val")
YAML = "names: [bee, hornet]\n"


def texts(folder: Path) -> None:
    for key in TRUTH:
        text(folder / f"{key}.txt", rows(key))


def lists(root: Path, **files: str) -> None:
    for name, row in files.items():
        text(root / f"{name}.txt", "".join(row.format(key) + "\n" for key in TRUTH))


def createml() -> list[dict[str, Any]]:
    return [
        {
            "image": f"{key}.png",
            "annotations": [
                {"label": n, "coordinates": {"x": (a + c) / 2, "y": (b + d) / 2, "width": c - a, "height": d - b}}
                for n, (a, b, c, d) in boxes
            ],
        }
        for key, boxes in TRUTH.items()
    ]


def rows_of_table() -> list[list[str]]:
    head = ["filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax"]
    return [head, *([f"{k}.png", "", "", n, *map(str, box)] for k, n, *box in boxes()), ["c.png", *[""] * 7]]


def yolo_beside(root: Path, s: str) -> None:
    pictures(root / s), texts(root / s)
    text(root / "data.yaml", YAML + "train: train\nval: val\n")


def yolo_with_names_alone(root: Path, s: str) -> None:
    pictures(root / "images" / s), texts(root / "labels" / s), text(root / "data.yaml", YAML + "nc: 2\n")


def yolo_with_texts_elsewhere(root: Path, s: str) -> None:
    pictures(root / s), texts(root / f"{s}_txt"), text(root / "data.yaml", YAML + "train: train\nval: val\n")


def yolo_with_classes_txt(root: Path, s: str) -> None:
    pictures(root / "images" / s), texts(root / "labels" / s), text(root / "classes.txt", "bee\nhornet\n")


def yolo_with_a_yaml_of_its_own_name(root: Path, s: str) -> None:
    pictures(root / "images" / s), texts(root / "labels" / s)
    text(root / "bees.yaml", YAML + "path: ../sets/bees\ntrain: images/train\nval: images/val\n")


def cvat_yolo_with_two_subsets(root: Path, s: str) -> None:
    pictures(root / f"obj_{s}_data"), texts(root / f"obj_{s}_data"), text(root / "obj.names", "bee\nhornet\n")
    lists(root, **{s: f"data/obj_{s}_data/{{}}.png"})
    text(root / "obj.data", "classes = 2\ntrain = data/train.txt\nvalid = data/val.txt\nnames = data/obj.names\n")


def voc_beside(root: Path, s: str) -> None:
    pictures(root / s)
    for key in TRUTH:
        text(root / s / f"{key}.xml", xml(key))


def voc_in_each_split(root: Path, s: str) -> None:
    pictures(root / s / "JPEGImages")
    for key in TRUTH:
        text(root / s / "Annotations" / f"{key}.xml", xml(key))


def coco_in_annotations(root: Path, s: str) -> None:
    pictures(root / s), text(root / "annotations" / f"{s}.json", coco())


def coco_at_the_top(root: Path, s: str) -> None:
    pictures(root / "images" / f"{s}2017"), text(root / f"{s}.json", coco())


def coco_in_each_split(root: Path, s: str) -> None:
    folder = root / {"train": "Train", "val": "Validation"}[s]
    pictures(folder / "images"), text(folder / "labels.json", coco())


def labelme_in_each_split(root: Path, s: str) -> None:
    pictures(root / s)
    for key in TRUTH:
        text(root / s / f"{key}.json", labelme(key))


def create_ml_in_each_split(root: Path, s: str) -> None:
    pictures(root / s), text(root / s / "_annotations.createml.json", createml())


def table_at_the_top(root: Path, s: str) -> None:
    pictures(root / "images" / s), table(root / "annotations" / f"{s}_labels.csv", rows_of_table())


def table_in_each_split(root: Path, s: str) -> None:
    pictures(root / s), table(root / s / "_annotations.csv", rows_of_table())


KINDS: tuple[Callable[[Path, str], None], ...] = (
    yolo_beside, yolo_with_names_alone, yolo_with_texts_elsewhere, yolo_with_classes_txt,
    yolo_with_a_yaml_of_its_own_name, cvat_yolo_with_two_subsets, voc_beside, voc_in_each_split, coco_in_annotations,
    coco_at_the_top, coco_in_each_split, labelme_in_each_split, create_ml_in_each_split, table_at_the_top,
    table_in_each_split,
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("wrapped", [False, True])
def test_each_split_has_its_own_pictures(kind: Callable[[Path, str], None], wrapped: bool, tmp_path: Path) -> None:
    root = tmp_path / "set" if wrapped else tmp_path
    for s in SPLITS:
        kind(root, s)
    folders: dict[str | None, set[Path]] = {}
    for split in (*SPLITS, None):
        data = load_dataset(tmp_path, split=split)
        assert data.classes == CLASSES
        assert sorted(Path(s.name).stem for s in data) == ["a", "b", "c"]
        for sample in data:
            wanted = [list(box) for _, box in TRUTH[Path(sample.name).stem]]
            np.testing.assert_allclose(
                sorted(sample.boxes.tolist()), sorted(wanted), atol=1e-3  # type: ignore[union-attr]
            )  # fmt: skip
        folders[split] = {s.path.parent for s in data if s.path is not None}
    assert folders[None] == folders["val"]
    assert not folders["train"] & folders["val"]
    assert len(load_dataset(tmp_path, split="all")) == 6


def test_a_list_tells_splits_of_one_folder(tmp_path: Path) -> None:
    pictures(tmp_path / "obj"), texts(tmp_path / "obj"), text(tmp_path / "obj.names", "bee\nhornet\n")
    text(tmp_path / "train.txt", "data/obj/a.png\ndata/obj/c.png\n")
    text(tmp_path / "test.txt", "data/obj/b.png\n")
    text(tmp_path / "obj.data", "train = data/train.txt\nvalid = data/test.txt\nnames = data/obj.names\n")
    assert [s.name for s in load_dataset(tmp_path)] == ["obj/b.png"]
    assert len(load_dataset(tmp_path, split="train")) == 2
    splits = load_splits(tmp_path, Data.model_validate({}), 0)
    assert (len(splits.train), len(splits.val)) == (2, 1)


def test_pictures_of_one_name_that_nothing_tells_apart_are_named(tmp_path: Path) -> None:
    for folder in ("left", "right"):
        picture(tmp_path / "images" / folder / "a.png")
    picture(tmp_path / "images" / "left" / "b.png")
    text(tmp_path / "result.json", coco(keys=("a", "b")))
    data = load_dataset(tmp_path)
    assert [s.name for s in data] == ["images/left/b.png"]
    assert any("several pictures of this name: images/left/a.png and images/right/a.png" in n for n in data.notes)


def test_a_set_whose_pictures_are_elsewhere_says_so(tmp_path: Path) -> None:
    picture(tmp_path / "other.png", "a")
    text(tmp_path / "result.json", coco())
    with pytest.raises(DataError, match=r"(?s)None of the pictures.*without a picture, left out: a\.png"):
        load_dataset(tmp_path)


def test_clips_with_labels_are_no_classes_and_classes_with_labels_are(tmp_path: Path) -> None:
    for folder in ("clip1", "clip2"):
        labelme_in_each_split(tmp_path / "clips", folder)
        labelme_in_each_split(tmp_path / "classes", {"clip1": "bee", "clip2": "hornet"}[folder])
    assert (load_dataset(tmp_path / "clips").layout, len(load_dataset(tmp_path / "clips"))) == ("labelme", 6)
    assert load_dataset(tmp_path / "classes").layout == "folder"


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train_labels", "train"), ("instances_val2017", "val"), ("trainannot", "train"), ("images-test", "test"),
        ("ValidationSet", "val"), ("obj_train_data", "train"), ("trainer", ""), ("bee_train", ""), ("train_val", ""),
        ("images", ""), ("20260714_test_hive3", ""),
    ],
)  # fmt: skip
def test_the_split_in_a_name(name: str, split: str) -> None:
    assert split_in(name) == split


@pytest.mark.parametrize("file", ["labels.json", "annotations/labels.json", "labels/export.json"])
def test_one_label_file_is_a_set(tmp_path: Path, file: str) -> None:
    pictures(tmp_path / "images")
    text(tmp_path / file, coco())
    assert len(load_dataset(tmp_path / file)) == 3
    table(tmp_path / "labels" / "boxes.csv", rows_of_table())
    assert len(load_dataset(tmp_path / "labels" / "boxes.csv")) == 3
