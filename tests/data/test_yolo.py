"""YOLO: data.yaml in its many forms, labels that are sound and labels that are not, and the real set."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.data import Dataset, load_dataset
from edgekit.data.layouts.yolo import label_file, load_yolo
from edgekit.errors import DataError

REAL = Path(os.environ.get("EDGEKIT_DATA", "nowhere"))
Make = Callable[..., Path]
PLAIN = "train: train/images\nval: valid/images\nnc: 2\nnames: [bee, hornet]\n"


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A data set of 20 x 10 pictures; a label of None writes no label file."""

    def made(config: str | None = PLAIN, **labels: str | bytes | None) -> Path:
        for key, text in (labels or {"train__a": "0 0.5 0.5 0.2 0.4", "valid__b": "1 0.5 0.5 0.2 0.4"}).items():
            split, name = key.split("__")
            picture = tmp_path / split / "images" / f"{name}.png"
            label = tmp_path / split / "labels" / f"{name}.txt"
            picture.parent.mkdir(parents=True, exist_ok=True)
            label.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.zeros((10, 20, 3), np.uint8)).save(picture)
            if isinstance(text, bytes):
                label.write_bytes(text)
            elif text is not None:
                label.write_text(text)
        if config is not None:
            (tmp_path / "data.yaml").write_text(config)
        return tmp_path

    return made


def boxes(dataset: Dataset) -> list[tuple[str, list[list[float]], list[int]]]:
    return [(s.name, s.boxes.tolist(), s.box_labels.tolist()) for s in dataset]  # type: ignore[union-attr]


def note(dataset: Dataset, word: str) -> str:
    return "\n".join(n for n in dataset.notes if word in n)


def test_a_data_set(make: Make) -> None:
    root = make()
    data = load_dataset(root)
    assert (data.layout, data.classes, data.boxed) == ("yolo", ("bee", "hornet"), True)
    assert boxes(data) == [("valid/images/b.png", [[8, 3, 12, 7]], [1])]
    assert data.notes[0] == "val was taken, beside it left out: train"
    assert data.notes[1] == "1 object in 1 picture: hornet 1"
    assert data.notes[2] == "1 of 2 classes have no objects: bee"
    assert boxes(load_dataset(root, split="train")) == [("train/images/a.png", [[8, 3, 12, 7]], [0])]
    assert boxes(load_dataset(root / "data.yaml", split="valid")) == boxes(data)
    assert len(load_dataset(root, split="all")) == 2
    assert boxes(load_dataset(root / "valid"))[0][1:] == boxes(data)[0][1:]


@pytest.mark.parametrize(
    "config",
    [
        "train: ../train/images\nval: ../valid/images\nnames:\n  0: bee\n  1: hornet\n",  # Roboflow
        "path: .\ntrain: train\nval: valid\nnames:\n- bee\n- hornet\n",
        "path: ROOT\ntrain: train/images\nval: [valid/images]\nnames: {0: bee, 1: hornet}\n",
        "train: ROOT/train/images\nval: ROOT/valid/images\nnames: ['bee', 'hornet']\nroboflow:\n  version: 2\n",
        "val: list.txt\nnames: [bee, hornet]\n",
        "train: train/images\nval: &v valid/images\ntest: *v\nnames: &n [bee, hornet]\nold_names: *n\n",
        "# a set\npath: ROOT\nval: valid/images # 1 picture\ntest:\nnames: {\n  0: bee,\n  1: hornet,\n}\n"
        "download: |\n  from pathlib import Path\n  urls = ['http://a.b/c']\n",
        '{"val": "valid/images", "names": {"0": "bee", "1": "hornet"}, "nc": 2}\n',
    ],
)
def test_places_and_names_in_many_forms(make: Make, config: str) -> None:
    root = make(config=None, train__a="", valid__b="1 0.5 0.5 0.2 0.4")
    (root / "list.txt").write_text("./valid/images/b.png\n\n")
    (root / "data.yaml").write_text(config.replace("ROOT", str(root)))
    data = load_dataset(root, split="val")
    assert [b[1:] for b in boxes(data)] == [([[8, 3, 12, 7]], [1])]
    assert data.classes == ("bee", "hornet")
    assert bool(note(data, "was not there")) == ("../" in config)


def test_polygons_become_boxes(make: Make) -> None:
    data = load_dataset(make(valid__b="1 0.1 0.2 0.5 0.1 0.4 0.9\n0 0.5 0.5 0.5 0.5"))
    np.testing.assert_allclose(boxes(data)[0][1], [[2, 1, 10, 9], [5, 2.5, 15, 7.5]], atol=1e-6)
    assert note(data, "polygon") == "1 polygon row, the box around taken: valid/images/b.png line 1"


def test_empty_and_missing_labels(make: Make) -> None:
    data = load_dataset(make(valid__a="", valid__b=None, valid__c="0 .5 .5 .1 .1"))
    assert [len(s.boxes) for s in data] == [0, 0, 1]  # type: ignore[arg-type]
    empty = "2 pictures without objects: valid/images/a.png, valid/images/b.png"
    assert note(data, "pictures without objects: ") == empty
    missing = "1 picture without a label file, taken as without objects: valid/images/b.png"
    assert note(data, "label file") == missing


def test_boxes_outside_and_without_area(make: Make) -> None:
    rows = ["0 0 0.5 0.5 0.5", "0 0.5 0.5 1.00001 1"]
    data = load_dataset(make(valid__b="\n".join([*rows, rows[1]])))
    assert boxes(data)[0][1] == [[0, 2.5, 5, 7.5], [0, 0, 20, 10]]
    assert note(data, "clipped").startswith(
        "1 box partly outside the picture, clipped: valid/images/b.png line 1 (bee -5 "
    )
    assert note(data, "twice") == "1 box dropped, written twice: valid/images/b.png"


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("0 nan 0.5 0.1 0.1", "not four numbers"),
        ("0 0.5 inf 0.1 0.1", "not four numbers"),
        ("0 0.5 0.5 0 0.5", "without area"),
        ("0 0.5 0.5 -0.2 0.5", "without area"),
        ("0 1.4 0.5 0.2 0.2", "its centre is outside the picture of 20 x 10"),
        ("0 -0.1 0.5 0.4 0.2", "its centre is outside"),
        ("0 nan .1 .2 .1 .2 .2", "not four numbers"),
    ],
)
def test_a_picture_with_a_box_that_cannot_be_used_is_left_out_and_listed(make: Make, row: str, why: str) -> None:
    data = load_dataset(make(valid__a="0 .5 .5 .1 .1", valid__b="1 .5 .5 .1 .1\n" + row))
    assert [s.name for s in data] == ["valid/images/a.png"]
    said = note(data, "cannot be used")
    assert said.startswith("1 left out, with a box that cannot be used: valid/images/b.png line 2 (bee ")
    assert why in said


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("0 0.5 0.5 0.1", "4 numbers, not class cx cy w h"),
        ("0 .5 .5 .1 .1 -.9", "6 numbers, of which the last may be an angle"),
        ("0 .1 .1 .2 .2 .3 .3 .4", "8 numbers"),
        ("x .5 .5 .1 .1", "not numbers"),
        ("0.5 .5 .5 .1 .1", "5 numbers"),
        ("nan .5 .5 .1 .1", "5 numbers"),
        ("0 340 220 30 40", "but pixels?"),
        (b"\xff\xfe0", "not UTF-16, as its mark says"),
        (b"0 .5 .5 .1 .1 \xe4", "not UTF-8"),
    ],
)
def test_labels_that_cannot_be_read_leave_the_picture_out(make: Make, row: str | bytes, why: str) -> None:
    data = load_dataset(make(valid__a="0 .5 .5 .1 .1", valid__b=row))
    assert [s.name for s in data] == ["valid/images/a.png"]
    said = note(data, "cannot be read")
    assert said.startswith("1 left out, labels that cannot be read: valid/images/b.png ")
    assert why in said
    assert isinstance(row, bytes) or "line 1" in said
    with pytest.raises(DataError, match="(?s)None of the pictures.*cannot be read"):
        load_dataset(make(valid__a=row, valid__b=row))


def test_keypoints_are_not_part_of_the_box(make: Make) -> None:
    config = PLAIN + "kpt_shape: [2, 2]\n"
    data = load_dataset(make(config, valid__b="1 0.5 0.5 0.2 0.4 0.05 0.05 0.95 0.95\n0 .5 .5 .1 .1"))
    assert boxes(data)[0][1] == [[8, 3, 12, 7], [9, 4.5, 11, 5.5]]
    assert note(data, "keypoints") == "1 row with keypoints, which are not read: valid/images/b.png line 1"
    three = PLAIN + "kpt_shape:\n  - 2\n  - 3\n"
    data = load_dataset(
        make(three, valid__b="1 0.5 0.5 0.2 0.4 0.05 0.05 2 0.95 0.95 0", valid__c="0 .5 .5 .1 .1 .2 .2")
    )
    assert boxes(data) == [("valid/images/b.png", [[8, 3, 12, 7]], [1])]
    assert "7 numbers, not class cx cy w h and 6 of keypoints" in note(data, "cannot be read")
    with pytest.raises(DataError, match="kpt_shape that cannot be used"):
        load_dataset(make(PLAIN + "kpt_shape: 17\n"))


@pytest.mark.parametrize(
    ("train", "val"),
    [
        ("MyProj-2/train/images", "MyProj-2/valid/images"),  # as Roboflow's downloader writes it
        ("/content/deep/er/train/images", "/content/deep/er/valid/images"),
        ("C:\\data\\train\\images", "C:\\data\\valid\\images"),
        ("../../datasets/x/train", "../../datasets/x/valid"),
        ("./x/train.txt", "./x/valid.txt"),
    ],
)
def test_leading_folders_that_are_not_there_are_stripped_and_said(make: Make, train: str, val: str) -> None:
    root = make(f"path: ../gone\ntrain: {train}\nval: {val}\nnames: [bee, hornet]\n")
    (root / "train.txt").write_bytes(b"\xef\xbb\xbfdata/x/train/images/a.png\r\n")
    (root / "valid.txt").write_text("data\\x\\valid\\images\\b.png\n")
    data = load_dataset(root)
    assert boxes(data) == [("valid/images/b.png", [[8, 3, 12, 7]], [1])]
    assert f"{val} was not there, {root / 'valid'}" in note(data, "was not there")
    assert boxes(load_dataset(root, split="train"))[0][0] == "train/images/a.png"


def test_splits_whose_difference_would_be_stripped_are_refused(make: Make) -> None:
    root = make("train: a/all/images\nval: b/all/images\nnames: [bee, hornet]\n", all__a="0 .5 .5 .1 .1")
    with pytest.raises(DataError, match="(?s)one folder would be taken for two.*a/all/images and for b/all/images"):
        load_dataset(root)


def test_pictures_of_which_none_has_a_label_file_are_refused(make: Make) -> None:
    with pytest.raises(
        DataError, match=r"(?s)None of the pictures.*has a label file.*2 pictures, and no .*labels/a\.txt"
    ):
        load_dataset(make(valid__a=None, valid__b=None))


def test_pictures_that_cannot_be_read_are_left_out(make: Make) -> None:
    root = make(valid__a="0 .5 .5 .1 .1", valid__b="0 .5 .5 .1 .1")
    (root / "valid" / "images" / "b.png").write_bytes(b"")
    (root / "valid" / "images" / "c.gif").write_bytes(b"")
    data = load_dataset(root)
    assert len(data) == 1
    assert note(data, "unreadable") == "1 unreadable, left out: valid/images/b.png (an empty file (0 bytes))"
    told = "1 left out, not pictures by their suffix: valid/images/c.gif (convert the .gif files to JPEG or PNG first)"
    assert note(data, "suffix") == told


def test_classes_of_a_model(make: Make) -> None:
    root = make(valid__b="1 .5 .5 .1 .1")
    assert boxes(load_dataset(root, ["Hornet", "wasp"]))[0][2] == [0]
    with pytest.raises(DataError, match="(?s)class that the model does not have.*hornet.*bee, wasp"):
        load_dataset(root, ["bee", "wasp"])
    assert len(load_dataset(root, ["hornet"])) == 1  # bee has no object here


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("val: valid/images\n", "no names"),
        ("val: valid/images\nnames: []\n", "no names"),
        ("val: valid/images\nnames: [a, a]\n", "different names"),
        ("val: valid/images\nnames: {1: a, 2: b}\n", "mapping from 0"),
        ("val: valid/images\nnc: 3\nnames: [a, b]\n", "nc: 3 and 2 names"),
        ("val: other/images\nnames: [a, b]\n", "(?s)not there.*other/images"),
        ("val: valid/images\nnames: [a, b\n", "cannot be read"),
        ("- val\n- names\n", "(?s)cannot be read.*a list, not keys"),
        ("val: valid/images\nnames: [a, [b]]\n", "different names"),
        ("val: {a: valid/images}\nnames: [a, b]\n", "not a path"),
        ("val: [[valid/images]]\nnames: [a, b]\n", "not a path"),
        ("val: valid/images\nnames: [a, b]\nkpt_shape: [1, 99999999999]\n", "kpt_shape that cannot be used"),
        ("train: train/images\nnames: [a, b]\n", "trained on"),
        ("val: valid/images\nnames: [a]\n", "(?s)line 1 has a class that does not exist.*got: +1"),
    ],
)
def test_configs_that_are_refused(make: Make, config: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_dataset(make(config))


def test_splits_that_are_not_there(make: Make) -> None:
    with pytest.raises(DataError, match="(?s)has no such split.*test.*train, val, all"):
        load_dataset(make(), split="test")


def test_images_and_labels_without_names(make: Make) -> None:
    root = make(config=None)
    with pytest.raises(DataError, match=r"a data\.yaml with names"):
        load_dataset(root / "valid")
    assert boxes(load_dataset(root / "valid", ["bee", "hornet"]))[0][2] == [1]


def test_boxes_are_parts_of_the_upright_picture(make: Make) -> None:
    root = make(valid__b=None)
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying, shown standing: 10 wide, 20 high
    Image.fromarray(np.zeros((10, 20, 3), np.uint8)).save(root / "valid" / "images" / "c.jpg", exif=exif)
    (root / "valid" / "labels" / "c.txt").write_text("0 0.5 0.25 1 0.5")
    assert boxes(load_dataset(root))[1] == ("valid/images/c.jpg", [[0, 0, 10, 10]], [0])
    assert load_dataset(root).samples[1].read().shape == (20, 10, 3)


@pytest.mark.skipif(not (REAL / "hornets-yolo").is_dir(), reason="EDGEKIT_DATA is not set: no real YOLO set")
def test_the_real_set() -> None:
    train, valid = (load_dataset(REAL / "hornets-yolo", split=s) for s in ("train", "val"))
    assert (len(train), len(valid)) == (593, 73)
    assert train.classes == valid.classes == ("Bees", "Hornets")
    assert (train.box_counts, valid.box_counts) == ((613, 663), (144, 55))
    empties = [sum(not len(s.boxes) for s in d) for d in (train, valid)]  # type: ignore[arg-type]
    assert empties == [16, 3]
    assert note(train, "polygon").startswith("1 polygon row")
    assert not any("dropped" in n or "clipped" in n or "unreadable" in n for n in (*train.notes, *valid.notes))
    assert len(load_dataset(REAL / "hornets-yolo", split="all")) == 666
    assert len(load_dataset(REAL / "hornets-yolo" / "valid")) == 73


@pytest.mark.parametrize(
    "folder", ["images/set/images", "images/set/Images", "images/images", "images/set/images/deep"]
)
def test_of_several_folders_called_images_the_last_becomes_labels(tmp_path: Path, folder: str) -> None:
    picture = tmp_path / folder / "a.png"
    label = tmp_path / re.sub("[iI]mages(/deep)?$", r"labels\1", folder) / "a.txt"
    for path in (picture, label):
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((10, 20, 3), np.uint8)).save(picture)
    label.write_text("1 0.5 0.5 0.2 0.4")
    (tmp_path / "data.yaml").write_text(f"val: {folder}\nnames: [bee, hornet]\n")
    assert label_file(picture) == label
    assert boxes(load_dataset(tmp_path)) == [(f"{folder}/a.png", [[8, 3, 12, 7]], [1])]


def test_a_picture_called_images_is_no_folder(tmp_path: Path) -> None:
    assert label_file(tmp_path / "images" / "images") == tmp_path / "labels" / "images.txt"
    assert label_file(tmp_path / "other" / "images") == tmp_path / "other" / "images.txt"
    assert label_file(tmp_path / "other" / "a.png") == tmp_path / "other" / "a.txt"


def test_the_number_of_a_class_is_no_part_of_the_picture(make: Make) -> None:
    """Which lie between 0 and 1; a class may be any."""
    config = PLAIN.replace("nc: 2\n", "").replace("[bee, hornet]", "[a, b, c, d, e, f]")
    root = make(config, train__a="5 0.5 0.5 0.2 0.4", valid__b="5 0.5 0.5 0.2 0.4\n4 0.1 0.1 0.3 0.1 0.3 0.2")
    assert boxes(load_dataset(root)) == [("valid/images/b.png", [[8, 3, 12, 7], [2, 1, 6, 2]], [5, 4])]


def test_a_last_folder_that_names_no_split_is_not_looked_for_alone(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.fromarray(np.zeros((10, 20, 3), np.uint8)).save(tmp_path / "images" / "a.png")
    (tmp_path / "data.yaml").write_text("val: gone/images\nnames: [bee]\n")
    with pytest.raises(DataError, match="names a place that is not there"):
        load_dataset(tmp_path)


def test_what_systems_leave_in_a_folder_is_not_named(tmp_path: Path) -> None:
    for name in ("images", "labels", "__MACOSX"):
        (tmp_path / name).mkdir()
    (tmp_path / ".DS_Store").write_bytes(b"")
    with pytest.raises(DataError, match="what its classes are called") as found:
        load_yolo(tmp_path)
    assert found.value.got == "images/, labels/ without a data.yaml"
