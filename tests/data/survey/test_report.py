"""The report on a data set: every number in it, and each kind of problem, planted one by one."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.data.load import splits_of
from edgekit.data.survey.likeness import look_alike, problems_of
from edgekit.data.survey.report import DataReport, data_report, report_of
from edgekit.data.survey.sets import read_sets, shared_out
from edgekit.data.writing.convert import convert_data
from edgekit.errors import DataError, SplitError, UsageError


def photo(path: Path, seed: int, width: int = 200, height: int = 150, quality: int = 95) -> Path:
    """A picture with coarse and fine detail of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 255, (9, 9, 3), dtype=np.uint8)).resize((width, height), Image.BICUBIC)
    fine = Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)).resize((width, height), Image.BICUBIC)
    Image.blend(coarse, fine, 0.4).save(path, quality=quality)
    return path


def yolo(root: Path, splits: dict[str, dict[str, list[str]]], names: str = "[bee, hornet]") -> Path:
    """A YOLO set: of each split the rows of each picture's label file, whose number is the seed of its pixels."""
    for split, pictures in splits.items():
        for name, rows in pictures.items():
            photo(root / split / "images" / f"{name}.jpg", int(name.strip("abcx") or 0))
            label = root / split / "labels" / f"{name}.txt"
            label.parent.mkdir(parents=True, exist_ok=True)
            label.write_text("\n".join(rows) + "\n")
    entries = "".join(f"{'val' if split == 'valid' else split}: {split}/images\n" for split in splits)
    (root / "data.yaml").write_text(f"{entries}names: {names}\n")
    return root


BEE, HORNET, LARGE = "0 0.5 0.5 0.1 0.1", "1 0.25 0.5 0.2 0.2", "1 0.5 0.5 1 1"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    train = {"1": [BEE, HORNET], "2": [BEE], "3": [], "4": [LARGE]}
    return yolo(tmp_path / "set", {"train": train, "valid": {"5": [BEE], "6": [HORNET]}})


def test_a_sound_set(root: Path) -> None:
    report = data_report(root)
    assert (report.layout, report.classes, list(report.splits)) == ("yolo", ("bee", "hornet"), ["train", "val"])
    train, val = report.splits.values()
    assert (train.pictures, train.empty, train.objects, train.classes) == (4, 1, 4, {"bee": 2, "hornet": 2})
    assert (val.pictures, val.empty, val.objects, val.classes) == (2, 0, 2, {"bee": 1, "hornet": 1})
    assert report.sizes == ((200, 150),) * 6
    assert report.boxes is not None
    # of 20 x 15, 40 x 30 and 200 x 150 pixels
    assert (report.boxes.small, report.boxes.medium, report.boxes.large, report.boxes.most) == (3, 2, 1, 2)
    assert report.boxes.sides == (None, pytest.approx(300**0.5, rel=1e-5), None), "too few for 5 % and 95 %"
    assert report.boxes.shares[1] == pytest.approx(0.1, rel=1e-5)
    assert report.notes == report.problems == ()
    assert report.lines("set")[:3] == [
        "set: yolo, 6 pictures, 6 boxes, 2 classes",
        "  train: 4 pictures, 1 of them without objects, 4 boxes: bee 2, hornet 2",
        "  val: 2 pictures, 2 boxes: bee 1, hornet 1",
    ]
    told = json.loads(json.dumps(report.to_dict()))
    assert told["sizes"] == [{"width": 200, "height": 150, "pictures": 6}]
    assert told["splits"]["train"]["classes"] == {"bee": 2, "hornet": 2}


def only(report: DataReport, *words: str) -> str:
    """The one line of problems or notes that has all the words."""
    found = [line for line in (*report.problems, *report.notes) if all(word in line for word in words)]
    assert len(found) == 1, (words, report.problems, report.notes)
    return found[0]


def test_boxes_that_stick_out_or_cannot_be_used(root: Path) -> None:
    (root / "train/labels/1.txt").write_text("0 0.98 0.5 0.1 0.1\n")
    (root / "train/labels/2.txt").write_text("0 0.5 0.5 0 0.1\n")
    report = data_report(root)
    assert "train/images/1.jpg line 1" in only(report, "train: ", "clipped")
    assert "train/images/2.jpg line 1" in only(report, "train: ", "left out", "cannot be used")
    assert report.splits["train"].pictures == 3


def test_pictures_that_cannot_be_read(root: Path) -> None:
    (root / "train/images/1.jpg").write_bytes(b"no picture")
    cut = root / "valid/images/5.jpg"
    cut.write_bytes(cut.read_bytes()[:-600])
    report = data_report(root)
    assert "1.jpg" in only(report, "unreadable, left out")
    assert "5.jpg" in only(report, "cannot be decoded")
    assert not [p for p in data_report(root, quick=True).problems if "decoded" in p]


def test_copies_in_two_splits_in_one_and_with_other_labels(root: Path) -> None:
    for old, new, row in (("train/images/1", "valid/images/8", BEE), ("train/images/2", "train/images/9", BEE)):
        shutil.copy(root / f"{old}.jpg", root / f"{new}.jpg")
        (root / f"{new.replace('images', 'labels')}.txt").write_text(row)
    report = data_report(root)
    assert "valid/images/8.jpg = train/images/1.jpg" in only(report, "WARNING", "in two splits, byte by byte")
    assert "train/images/9.jpg = train/images/2.jpg" in only(report, "again in the same split")
    assert "valid/images/8.jpg" in only(report, "WARNING", "different labels")
    assert "9.jpg" not in only(report, "WARNING", "different labels"), "labelled alike"
    assert report.alike is not None
    assert (report.alike.groups, report.alike.pictures) == (1, 2)


def test_near_duplicates_between_splits(root: Path) -> None:
    photo(root / "valid/images/8.jpg", 1, quality=40)
    (root / "valid/labels/8.txt").write_text(BEE)
    report = data_report(root)
    assert "valid/images/8.jpg ~ train/images/1.jpg" in only(report, "WARNING: 1 picture of val", "nearly the same")
    assert report.alike is not None
    (pair,) = report.alike.between
    assert (pair.split, pair.other_split) == ("train", "val")
    quick = data_report(root, quick=True)
    assert quick.alike is None
    assert quick.problems == ()


def test_classes_without_objects_in_no_or_one_split_or_few(tmp_path: Path) -> None:
    train = {"1": [BEE] + [f"1 0.5 0.5 0.1 0.{i + 10}" for i in range(40)], "2": [HORNET]}
    root = yolo(tmp_path / "set", {"train": train, "valid": {"5": [HORNET]}}, "[bee, hornet, wasp, Bee]")
    report = data_report(root)
    assert "wasp, Bee" in only(report, "WARNING: 2 of 4 classes have no objects")
    assert "not measured" in only(report, "WARNING: val has no objects of bee")
    assert "bee 1" in only(report, "a twentieth of the 42 objects of hornet or fewer")
    cases = [note for note in report.notes if "differ in case alone" in note]
    assert len(cases) == 2, "in both splits"


def test_of_very_many_pictures_some_are_compared_and_that_is_said(root: Path) -> None:
    photo(root / "valid/images/8.jpg", 1, quality=40)
    (root / "valid/labels/8.txt").write_text(BEE)
    parts = read_sets(root).parts
    found = look_alike(parts, most=4)
    assert (found.compared, found.decoded) == (4, 7)
    assert problems_of(found)[-1] == "4 of 7 pictures, spread evenly, were compared for likeness"
    assert len(look_alike(parts).between) == 1


def test_a_split_that_cannot_be_read_is_said_and_the_others_are_read(root: Path) -> None:
    for picture in (root / "valid/images").iterdir():
        picture.write_bytes(b"")
    report = data_report(root)
    assert list(report.splits) == ["train"]
    assert only(report, "WARNING: the split val cannot be read")
    with pytest.raises(DataError):
        data_report(root, split="val")
    with pytest.raises(DataError):
        convert_data(root, root.parent / "out", to="voc")
    assert not (root.parent / "out").exists(), "nothing is left out of a set that is written"
    with pytest.raises(SplitError):
        data_report(root, split="test")


def test_one_split_or_all_as_one(root: Path) -> None:
    assert list(data_report(root, split="valid").splits) == ["valid"]
    assert {k: v.pictures for k, v in data_report(root, split="all").splits.items()} == {"": 6}


def test_class_folders_with_and_without_splits_and_a_class_called_test(tmp_path: Path) -> None:
    for i, name in enumerate(("Train/bee/a", "Train/hornet/b", "Val/bee/c", "Val/hornet/d", "Val/wasp/e")):
        photo(tmp_path / "split" / f"{name}.jpg", i)
    report = data_report(tmp_path / "split")
    assert report.classes == ("bee", "hornet", "wasp")
    assert report.splits["val"].classes == {"bee": 1, "hornet": 1, "wasp": 1}
    assert "train has no wasp" in only(report, "WARNING: the splits have different classes")
    assert only(report, "WARNING: train has no pictures of wasp", "nothing is learnt")
    for i, name in enumerate(("positive/a", "test/b")):
        photo(tmp_path / "whole" / f"{name}.jpg", i)
    assert splits_of(tmp_path / "whole") == ()
    assert data_report(tmp_path / "whole").splits[""].classes == {"positive": 1, "test": 1}


def test_masks_are_counted_and_those_that_cannot_be_used_named(tmp_path: Path) -> None:
    (tmp_path / "masks").mkdir()
    for i in range(70):  # of so many not every mask is looked into when the set is opened
        photo(tmp_path / "images" / f"{i:02}.jpg", i, 8, 6)
        mask = np.zeros((6, 8), np.uint8)
        mask[0, :3] = 1 if i < 20 else 2
        Image.fromarray(mask).save(tmp_path / "masks" / f"{i:02}.png")
    (tmp_path / "classes.txt").write_text("ground\nbee\nvoid\nwasp\n")
    report = data_report(tmp_path)
    assert (report.layout, report.splits[""].classes) == ("masks", {"ground": 70, "bee": 20, "wasp": 0})
    assert only(report, "WARNING: 1 of 3 classes have no pictures: wasp")
    (tmp_path / "masks" / "01.png").write_bytes((tmp_path / "masks" / "01.png").read_bytes()[:50])
    assert "01.jpg" in only(data_report(tmp_path), "mask that cannot be used")
    assert data_report(tmp_path, quick=True).splits[""].classes == {}


def test_a_share_is_held_out_of_a_set_without_splits(tmp_path: Path) -> None:
    root = yolo(tmp_path / "set", {"train": {str(i): [BEE] for i in range(1, 11)}})
    sets = shared_out(read_sets(root), 0.3, seed=1)
    sizes = {k: len(part) for k, part in sets.parts.items()}
    assert sizes == {"train": 7, "val": 3}
    names = [{s.name for s in part} for part in sets.parts.values()]
    assert not names[0] & names[1]
    with pytest.raises(UsageError, match="held out already"):
        shared_out(sets, 0.3)


def test_lists_that_are_no_splits_are_not_shown_beside_them(tmp_path: Path) -> None:
    for name in ("a", "b"):
        photo(tmp_path / "JPEGImages" / f"{name}.jpg", ord(name))
        box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
        (tmp_path / "Annotations").mkdir(exist_ok=True)
        (tmp_path / "Annotations" / f"{name}.xml").write_text(
            f"<annotation><object><name>bee</name>{box}</object></annotation>"
        )
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    for split, rows in {"test": "b", "train": "a", "trainval": "a"}.items():
        (lists / f"{split}.txt").write_text(rows)
    assert list(data_report(tmp_path).splits) == ["train", "test"]
    report = report_of(replace(read_sets(tmp_path), notes=("said",)))
    assert "said" in report.problems
