"""Class folders as people have them: splits in any case, a class called test, a system's folders, doubled names."""

import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.config.recipe import Data
from edgekit.data import Dataset, load_dataset
from edgekit.data.names import split_of
from edgekit.errors import DataError, LayoutError
from edgekit.pipeline.pictures import pictures_for_gate
from edgekit.training.splits import Splits, load_splits

Make = Callable[..., Path]
NFC = unicodedata.normalize("NFC", "frelon_europ\u00e9en")
NFD = unicodedata.normalize("NFD", NFC)


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Writes pictures of noise, each another (and, for other suffixes, a text) under a folder and returns it."""
    rng = np.random.default_rng(0)

    def made(*names: str, text: str = "text") -> Path:
        for name in names:
            path = tmp_path / "set" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".jpg":
                Image.fromarray(rng.integers(0, 255, (12, 16, 3), dtype=np.uint8)).save(path)
            else:
                path.write_text(text)
        return tmp_path / "set"

    return made


def both(*folders: str, count: int = 4) -> list[str]:
    return [f"{folder}/{i}.jpg" for folder in folders for i in range(count)]


def train(path: Path, **data: str) -> Splits:
    return load_splits(path, Data.model_validate(data), 0)


def names(dataset: Dataset) -> set[str]:
    return {s.name for s in dataset}


def test_names_of_splits() -> None:
    splits = {
        n: split_of(n) for n in ("Train", "TRAINING", "valid", "Validation", "val", "Test", "testing", "test_set")
    }
    assert list(splits.values()) == ["train", "train", "val", "val", "val", "test", "test", "test"]
    assert [split_of(n) for n in ("trains", "contest", "positive", "trainval", "", "data")] == [None] * 6


@pytest.mark.parametrize(
    ("first", "second"),
    [("Train", "Val"), ("TRAIN", "VALIDATION"), ("training_set", "test_set"), ("Training", "Testing")],
)
def test_splits_in_any_case_are_splits(make: Make, first: str, second: str) -> None:
    root = make(*both(f"{first}/ant", f"{first}/bee"), *both(f"{second}/ant", f"{second}/bee", count=2))
    splits = train(root)
    assert (len(splits.train), len(splits.val)) == (8, 4)
    assert splits.train.classes == splits.val.classes == ("ant", "bee")
    assert len(load_dataset(root)) == 4
    assert [len(load_dataset(root, split=s)) for s in ("train", "val" if "V" in second else "test", "all")] == [
        8,
        4,
        12,
    ]


def test_one_split_twice_is_refused(make: Make) -> None:
    root = make(*both("Train/a", "Train/b", "train/a", "train/b", "val/a", "val/b"))
    for read in (load_dataset, train):
        with pytest.raises(DataError, match="(?s)train split twice.*Train and train"):
            read(root)


@pytest.mark.parametrize("deep", ["", "/x"])
@pytest.mark.parametrize("name", ["test", "train", "Val"])
def test_a_class_may_have_a_splits_name(make: Make, name: str, deep: str) -> None:
    root = make(*both(f"{name}{deep}", f"positive{deep}"))
    splits = train(root)
    assert set(splits.train.classes or ()) == {name, "positive"}
    assert len(splits.train) + len(splits.val) == 8
    (said,) = [n for n in load_dataset(root).notes if "split" in n]
    assert said.startswith(f"{name} is read as a class beside positive; if it is a split, name its folder itself")
    assert len(load_dataset(root, split=name)) == 4


def test_what_may_be_a_class_or_a_split_is_refused_with_both_readings(make: Make) -> None:
    root = make(*both("test/ant", "test/bee", "more"))
    for read in (load_dataset, train):
        with pytest.raises(
            DataError, match="(?s)in two ways.*test beside more.*classes ant, bee, or 2 classes.*set/test"
        ):
            read(root)
    assert len(load_dataset(root, ["ant", "bee"])) == 8  # the model's classes decide
    assert len(load_dataset(root, ["test", "more"])) == 12


def test_splits_with_another_folder_beside_them(make: Make) -> None:
    root = make(*both("train/ant", "train/bee", "val/ant", "val/bee", "raw"))
    splits = train(root)
    assert (len(splits.train), len(splits.val)) == (8, 8)
    assert any("raw beside them left out" in n for n in splits.notes)


def test_what_systems_leave_is_ignored_and_said(make: Make) -> None:
    clutter = (".ipynb_checkpoints/a-checkpoint.jpg", "__MACOSX/ant/._0.jpg", "@eaDir/0.jpg/SYNOPHOTO_THUMB_M.jpg")
    clutter += (".Trash-1000/files/old.jpg", "$RECYCLE.BIN/x.jpg", "ant/._0.jpg", "ant/Thumbs.db", "bee/.DS_Store")
    clutter += ("desktop.ini", "ant/@eaDir/y.jpg")
    root = make(*both("ant", "bee"), *clutter)
    splits = train(root)
    assert splits.train.classes == ("ant", "bee")
    assert len(splits.train) + len(splits.val) == 8
    data = load_dataset(root)
    assert data.notes == (
        "10 ignored, hidden or a system's own: $RECYCLE.BIN/, .Trash-1000/, .ipynb_checkpoints/, @eaDir/, __MACOSX/ "
        "and 5 more",
    )
    plain = load_dataset(make("flat/1.jpg", "flat/._1.jpg", "flat/.x/2.jpg") / "flat")
    assert names(plain) == {"1.jpg"}
    assert plain.notes == ("2 ignored, hidden or a system's own: ._1.jpg, .x/",)


def test_names_that_differ_in_case_alone_are_named(make: Make) -> None:
    root = make(*both("Bee", "bee", "none"))
    assert load_dataset(root).classes == ("Bee", "bee", "none")
    assert any("WARNING: the classes 'Bee' and 'bee' differ in case alone" in n for n in train(root).notes)
    together = load_dataset(root, ["BEE", "none"])
    assert "WARNING: the folders Bee, bee are all taken as the class BEE" in together.notes


@pytest.mark.parametrize(("one", "other"), [(NFC, NFD), (NFD, NFC), ("bee", "bee "), ("bee ", "bee")])
def test_two_forms_of_one_name_are_one_class(make: Make, one: str, other: str) -> None:
    root = make(*both(f"train/{one}", "train/rien"), *both(f"val/{other}", "val/rien", count=2))
    splits = train(root)
    name = unicodedata.normalize("NFC", one).strip()
    assert splits.train.classes == splits.val.classes == tuple(sorted((name, "rien")))
    assert {s.label for s in splits.val} == {0, 1}
    written = other if other != name else one
    assert any("WARNING: class names in another Unicode form" in n and ascii(written) in n for n in splits.notes)
    mixed = load_dataset(make(*both(f"mixed/{one}", f"mixed/{other}", "mixed/rien")) / "mixed")
    assert mixed.classes == splits.train.classes
    assert sorted(s.label or 0 for s in mixed).count((mixed.classes or ()).index(name)) == 8


def test_a_table_has_the_same_names(make: Make) -> None:
    root = make(NFD + ".jpg", "b.jpg")
    (root / "labels.csv").write_text(f"file,class\n{NFC}.jpg,{NFD}\nb.jpg,Bee\n", encoding="utf-8")
    data = load_dataset(root)
    assert data.classes == ("Bee", NFC)
    assert [s.label for s in data] == [1, 0]
    assert any("Unicode" in n for n in data.notes)
    assert [s.label for s in load_dataset(root, [NFD, "bee"])] == [0, 1]


def test_a_picture_in_two_classes_is_named(make: Make) -> None:
    root = make(*both("ant", "bee"))
    (root / "bee" / "same.jpg").write_bytes((root / "ant" / "0.jpg").read_bytes())
    (root / "bee" / "again.jpg").write_bytes((root / "bee" / "0.jpg").read_bytes())  # twice in one class
    said = "WARNING: 1 picture in two classes: ant/0.jpg (ant) = bee/same.jpg (bee). One of the labels is wrong"
    assert said in load_dataset(root).notes
    assert f"training: {said}" in train(root).notes


def test_a_picture_of_another_class_in_the_other_split(make: Make) -> None:
    root = make(*both("train/ant", "train/bee", "val/ant", "val/bee"))
    (root / "val" / "bee" / "0.jpg").write_bytes((root / "train" / "ant" / "1.jpg").read_bytes())
    assert any("bee/0.jpg = ant/1.jpg (as ant there)" in n for n in train(root).notes)


@pytest.mark.parametrize("folders", ["dataset", "a/b/c", "Train set 1/images"])
def test_a_folder_around_the_whole_set_is_gone_into(make: Make, folders: str) -> None:
    root = make(*both(f"{folders}/ant", f"{folders}/bee"), "__MACOSX/x/._0.jpg", "README.txt")
    for notes, classes in ((load_dataset(root).notes, load_dataset(root).classes), (train(root).notes, ("ant", "bee"))):
        assert classes == ("ant", "bee")
        assert notes[0] == f"{folders}/ was gone into: set holds no other pictures"
    splits = make(
        *both(f"z/{folders}/train/ant", f"z/{folders}/train/bee", f"z/{folders}/val/ant", f"z/{folders}/val/bee")
    )
    assert len(train(splits / "z").val) == 8


def test_a_lone_class_is_not_gone_into(make: Make) -> None:
    root = make(*both("bee/site1", "bee/site2"))
    assert load_dataset(root, ["ant", "bee"]).classes == ("ant", "bee")
    assert {s.label for s in load_dataset(root, ["ant", "bee"])} == {1}
    assert load_dataset(make(*both("only/bee")) / "only").classes == ("bee",)


def test_rare_and_absent_classes_are_warned_of(make: Make) -> None:
    root = make(*both("train/none", count=20), "train/hornet/0.jpg", *both("val/none", count=2))
    notes = train(root).notes
    assert any("WARNING: training has 20 pictures of none and 1 of hornet" in n for n in notes)
    assert any("WARNING: validation has no picture of hornet" in n and "not measured" in n for n in notes)
    (root / "train" / "none" / "0.jpg").unlink()
    assert not any("WARNING: training has" in n for n in train(root).notes)


XML = "<annotation><filename>0.jpg</filename></annotation>"


@pytest.mark.parametrize(
    ("files", "text", "seen"),
    [
        (["0.txt", "1.txt"], "10,20,30,40,1,40,0,0\n", "0.txt, 1.txt"),
        (["0.xml"], XML, "Pascal VOC's XML"),
        (["0.xml"], "<dataset><box top='1'/></dataset>", "0.xml"),
        (["0.json"], '{"version": "5", "shapes": [], "imagePath": "0.jpg"}', "labelme"),
        (["result.json"], '{"images": [], "annotations": []}', "result.json"),
        (["_annotations.csv"], "filename,width,height,class,xmin,ymin,xmax,ymax\n", "a table of boxes"),
        (["obj.data", "obj.names"], "classes = 2", "obj.data, obj.names"),
        (["a.tfrecord"], "x", "a.tfrecord"),
        (["a.record-00000-of-00002"], "x", "a.record-00000-of-00002"),
        (["boxes.mat"], "x", "boxes.mat"),
    ],
)
@pytest.mark.parametrize("folders", [["."], ["images"], ["train", "valid"], ["obj_train_data"]])
def test_labels_in_a_layout_that_is_not_read_are_no_class_folders(
    make: Make, folders: list[str], files: list[str], text: str, seen: str
) -> None:
    root = make(*both(*folders))
    make(*(f"{folder}/{file}" for folder in folders for file in files), text=text)
    for read in (load_dataset, train):
        with pytest.raises(LayoutError) as caught:
            read(root)
        got = caught.value.got or ""
        assert all(name in got for name in seen.split(", "))
        assert "YOLO (data.yaml" in (caught.value.expected or "") or "object" in caught.value.what
        if "record" in seen:
            assert "export the set as COCO or YOLO" in str(caught.value)


def test_the_gate_needs_no_labels_and_says_that_they_were_not_read(make: Make) -> None:
    root = make(*both("."))
    make("0.xml", text=XML)
    pictures = pictures_for_gate(root, 3, "classification")
    assert (len(pictures), pictures.labelled) == (3, False)
    assert pictures.notes[0].startswith(
        "labels in a layout that edgekit does not read, taken as pictures without labels"
    )


def test_files_beside_pictures_in_real_classes_stop_nobody(make: Make) -> None:
    root = make(*both("ant", "bee"))
    make("ant/0.xml", "bee/0.xml", text=XML)
    data = load_dataset(root)
    assert data.classes == ("ant", "bee")
    assert data.notes == ("2 left out, not pictures by their suffix: ant/0.xml, bee/0.xml",)
    assert load_dataset(make("plain/0.jpg", "plain/notes.txt") / "plain").classes is None
