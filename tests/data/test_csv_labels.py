"""Tables with several labels a picture: a cell of names, or a column of 0 and 1 for each class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.data import load_dataset
from edgekit.data.sample import Dataset
from edgekit.errors import DataError

CLASSES = ("bee", "hornet", "wasp")


def table(folder: Path, text: str, name: str = "labels.csv") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(3):
        Image.fromarray(np.full((8, 8, 3), 40 * i, np.uint8)).save(folder / f"{i}.png")
    (folder / name).write_text(text)
    return folder


def told(dataset: Dataset) -> list[tuple[tuple[int, ...] | None, tuple[int, ...]]]:
    return [(sample.labels, sample.unknown_labels) for sample in dataset]


@pytest.mark.parametrize(
    "text",
    [
        "file,labels\n0.png,hornet;bee\n1.png,\n2.png,Wasp\n",
        "filename,tags\n0.png,bee hornet\n1.png,\n2.png,wasp\n",
        'image,labels\n0.png,"bee, hornet"\n1.png,\n2.png,wasp\n',
        "file,labels,site\n0.png,bee|hornet,a\n1.png,,b\n2.png,wasp,c\n",
        "filename, bee, hornet, wasp\n0.png, 1, 1, 0\n1.png, 0, 0, 0\n2.png, 0, 0, 1\n",
        "file,wasp,site,hornet,bee\n0.png,0,7,1,1\n1.png,0,8,0,0\n2.png,1,9,0,0\n",
    ],
)
def test_labels_are_read(tmp_path: Path, text: str) -> None:
    found = load_dataset(table(tmp_path, text), CLASSES)
    assert told(found) == [((0, 1), ()), ((), ()), ((2,), ())]
    assert (found.classes, found.layout, found.labels_known, found.labelled) == (
        CLASSES,
        "csv with labels",
        True,
        False,
    )


@pytest.mark.parametrize(
    ("text", "classes"),
    [
        ("file,labels\n0.png,hornet;bee\n1.png,\n2.png,wasp\n", ("bee", "hornet", "wasp")),
        ("file,class\n0.png,hornet;bee\n1.png,bee\n2.png,wasp\n", ("bee", "hornet", "wasp")),
        ("file,hornet,bee\n0.png,1,0\n1.png,0,0\n2.png,0,1\n", ("hornet", "bee")),
    ],
)
def test_without_a_model_the_table_names_the_classes(tmp_path: Path, text: str, classes: tuple[str, ...]) -> None:
    assert load_dataset(table(tmp_path, text)).classes == classes


def test_nobody_knows_an_empty_cell_of_a_class(tmp_path: Path) -> None:
    found = load_dataset(table(tmp_path, "file,bee,hornet,wasp\n0.png,1,,0\n1.png,-1,1.0,0\n2.png,0,0,0\n"), CLASSES)
    assert told(found) == [((0,), (1,)), ((1,), (0,)), ((), ())]


def test_names_of_two_words_stay_whole(tmp_path: Path) -> None:
    text = "file,labels\n0.png,asian hornet\n1.png,bee\n2.png,asian hornet;bee\n"
    found = load_dataset(table(tmp_path, text), ("asian hornet", "bee"))
    assert told(found) == [((0,), ()), ((1,), ()), ((0, 1), ())]
    one = "file,class\n0.png,a;b\n1.png,c\n2.png,c\n"  # a class may have a semicolon in its name
    assert [s.label for s in load_dataset(table(tmp_path, one), ("a;b", "c"))] == [0, 1, 1]


def test_one_class_a_picture_is_what_it_was(tmp_path: Path) -> None:
    found = load_dataset(table(tmp_path, "file,class,day\n0.png,bee,1\n1.png,wasp,0\n2.png,bee,1\n"), CLASSES)
    assert [s.label for s in found] == [0, 2, 0]
    assert (found.layout, found.labels_known) == ("csv", False)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("file,labels\n0.png,bee;fly\n", "line 2 has labels that cannot be used"),
        ("file,labels\n9.png,bee\n", "not there"),
        ("file,labels\n0.png,bee\n0.png,wasp\n", "two sets of labels"),
        ("file,labels\n,bee\n", "line 2"),
        ("file,labels\n", "no pictures"),
        ("file,bee,hornet,wasp\n0.png,1,2,0\n", "hornet = 2"),
        ("file,bee,hornet\n0.png,1,0\n", "no column for some"),
        ("file,remark\n0.png,sunny\n", "columns of a label table"),
    ],
)
def test_what_cannot_be_used_is_told(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(DataError, match=problem) as caught:
        load_dataset(table(tmp_path, text), CLASSES)
    assert caught.value.expected


def test_labels_count_in_the_digest(tmp_path: Path) -> None:
    one = load_dataset(table(tmp_path / "a", "file,labels\n0.png,bee\n1.png,wasp\n2.png,\n"), CLASSES).digest
    two = load_dataset(table(tmp_path / "b", "file,labels\n0.png,bee\n1.png,wasp\n2.png,bee\n"), CLASSES).digest
    assert one != two


def test_roboflows_folders_are_splits(tmp_path: Path) -> None:
    for split, row in (("train", "1, 0, 0"), ("valid", "0, 1, 1")):
        table(tmp_path / split, f"filename, bee, hornet, wasp\n0.png, {row}\n", "_classes.csv")
    assert told(load_dataset(tmp_path, CLASSES)) == [((1, 2), ())]
    assert told(load_dataset(tmp_path, CLASSES, "train")) == [((0,), ())]
    (tmp_path / "more").mkdir()
    (tmp_path / "train").rename(tmp_path / "more" / "train")
    (tmp_path / "valid").rename(tmp_path / "more" / "valid")
    assert told(load_dataset(tmp_path, CLASSES)) == [((1, 2), ())], "a folder around the whole is gone into"


def test_a_table_one_folder_down_is_found_as_before(tmp_path: Path) -> None:
    table(tmp_path / "set", "file,class\n0.png,bee\n1.png,wasp\n2.png,bee\n")
    assert [s.label for s in load_dataset(tmp_path, CLASSES)] == [0, 2, 0]
