"""Every layout, recognised or refused, and nothing left out without a note."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.data import load_dataset
from edgekit.errors import DataError
from edgekit.vision.find import find_pictures

Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Writes tiny pictures (and, for other suffixes, the text "text") under the folder and returns it."""

    def made(*names: str) -> Path:
        for i, name in enumerate(names):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix.lower() in (".jpg", ".jpeg", ".png"):
                image = Image.fromarray(np.full((3, 4, 3), i, np.uint8))
                image.save(path, "PNG" if path.suffix == ".png" else "JPEG")
            else:
                path.write_text("text")
        return tmp_path

    return made


def found(path: Path, classes: list[str] | None = None) -> list[tuple[str, int | None]]:
    return [(s.name, s.label) for s in load_dataset(path, classes)]


def table(folder: Path, text: str, name: str = "labels.csv") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_class_folders(make: Make) -> None:
    data = load_dataset(make("bees/2.jpg", "bees/1.JPG", "ants/deep/er/1.png"))
    assert (data.layout, data.classes, data.notes) == ("folder", ("ants", "bees"), ())
    assert [(s.name, s.label) for s in data] == [("ants/deep/er/1.png", 0), ("bees/1.JPG", 1), ("bees/2.jpg", 1)]
    assert data.labelled
    assert data.samples[0].read().shape == (3, 4, 3)


def test_class_folders_follow_the_models_classes(make: Make) -> None:
    data = load_dataset(make("Bees/1.jpg", "ants/1.jpg"), ["wasps", "bees", "ants"])
    assert [(s.name, s.label) for s in data] == [("Bees/1.jpg", 1), ("ants/1.jpg", 2)]
    assert data.classes == ("wasps", "bees", "ants")
    assert data.notes == ("1 of 3 classes have no pictures: wasps",)


def test_an_unknown_class_folder(make: Make) -> None:
    with pytest.raises(DataError) as caught:
        load_dataset(make("bees/1.jpg", "flies/1.jpg"), ["ants", "bees"])
    assert caught.value.got == "flies"
    assert caught.value.expected == "ants, bees"


def test_everything_left_out_is_noted(make: Make) -> None:
    root = make("a/1.jpg", "a/list.txt", "a/x.gif", "loose.jpg", "README.md")
    (root / "b").mkdir()
    (root / "a" / "empty.jpg").touch()
    (root / "a" / "text.jpg").write_text("no picture")
    data = load_dataset(root)
    assert [s.name for s in data] == ["a/1.jpg"]
    text = "\n".join(data.notes)
    assert "2 unreadable, left out: a/empty.jpg (an empty file (0 bytes)), a/text.jpg" in text
    assert "2 left out, outside the class folders: README.md, loose.jpg" in text
    assert "2 left out, not pictures by their suffix: a/list.txt, a/x.gif" in text
    assert "1 folder without pictures: b" in text


def test_the_held_out_split_is_taken(make: Make) -> None:
    data = load_dataset(make("train/a/1.jpg", "val/a/2.jpg", "val/b/3.jpg"))
    assert [(s.name, s.label) for s in data] == [("a/2.jpg", 0), ("b/3.jpg", 1)]
    assert data.notes == ("val was taken, beside it left out: train",)


def test_a_train_split_alone_is_refused_until_it_is_named(make: Make) -> None:
    root = make("train/a/1.jpg")
    with pytest.raises(DataError, match="trained on"):
        load_dataset(root)
    assert found(root / "train") == [("a/1.jpg", 0)]


def test_a_class_may_be_called_val(make: Make) -> None:
    assert found(make("val/1.jpg", "other/1.jpg")) == [("other/1.jpg", 0), ("val/1.jpg", 1)]


def test_plain_pictures(make: Make) -> None:
    data = load_dataset(make("2.jpg", "1.png", "notes.txt"))
    assert (data.layout, data.classes, data.labelled) == ("pictures", None, False)
    assert [s.name for s in data] == ["1.png", "2.jpg"]
    assert data.notes == ("1 left out, not pictures by their suffix: notes.txt",)


def test_one_picture(make: Make) -> None:
    assert found(make("1.jpg") / "1.jpg") == [("1.jpg", None)]


def test_a_table_of_indices(make: Make) -> None:
    root = table(make("a.jpg", "sub/b.jpg", "c.jpg"), "\ufefffile,class_index,who\n\nsub/b.jpg,7,me\na.jpg,0,me\n")
    data = load_dataset(root)
    assert (data.layout, data.classes) == ("csv", None)
    assert [(s.name, s.label) for s in data] == [("sub/b.jpg", 7), ("a.jpg", 0)]
    assert data.notes == ("columns not used: who", "1 left out, not listed in labels.csv: c.jpg")
    assert found(root / "labels.csv") == found(root)


def test_a_table_of_names(make: Make) -> None:
    root = table(make("a.jpg", "b.jpg"), "Class,File\nwasp,a.jpg\nBee,b.jpg\n", "mine.csv")
    assert load_dataset(root / "mine.csv").classes == ("Bee", "wasp")
    assert found(root / "mine.csv") == [("a.jpg", 1), ("b.jpg", 0)]
    assert found(root / "mine.csv", ["ant", "bee", "wasp"]) == [("a.jpg", 2), ("b.jpg", 1)]


def test_doubled_rows_are_taken_once(make: Make) -> None:
    data = load_dataset(table(make("a.jpg"), "file,class_index\na.jpg,1\na.jpg,1\n"))
    assert len(data) == 1
    assert data.notes == ("1 row of a picture that is listed before; each picture is taken once",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,class_index\na.jpg,2\n", "line 2.*got: +2.*from 0 to 1"),
        ("file,class_index\na.jpg,-1\n", "got: +-1"),
        ("file,class_index\na.jpg,one\n", "got: +one"),
        ("file,class_index\na.jpg\n", "line 2.*got: +a.jpg"),
        ("file,class\na.jpg,fly\n", "got: +fly.*ant, bee"),
        ("file,class\na.jpg,ant\na.jpg,bee\n", "two labels.*a.jpg: 0 and 1"),
        ("name,label\na.jpg,1\n", "got: +name,label.*file,class_index"),
        ("", "an empty file"),
        ("file,class_index\n", "lists no pictures"),
        ("file,class_index\n" + "".join(f"x{i}.jpg,0\n" for i in range(8)), "8 missing: x0.*x4.jpg and 3 more"),
    ],
)
def test_tables_that_are_refused(make: Make, text: str, message: str) -> None:
    root = table(make("a.jpg"), text)
    with pytest.raises(DataError, match="(?s)" + message):
        load_dataset(root, ["ant", "bee"])


def test_a_table_that_is_no_text(make: Make) -> None:
    root = make("a.jpg")
    (root / "labels.csv").write_bytes(b"file,class\n\xff\xfe.jpg,1\n")
    with pytest.raises(DataError, match="UTF-8"):
        load_dataset(root)


def test_nothing_to_load(make: Make, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not there"):
        load_dataset(tmp_path / "none")
    with pytest.raises(DataError, match="holds no pictures"):
        load_dataset(make("notes.txt"))
    (tmp_path / "only.jpg").touch()
    with pytest.raises(DataError, match=r"None of the pictures.*\n.*0 bytes"):
        load_dataset(tmp_path)


@pytest.fixture
def real() -> Path:
    place = os.environ.get("EDGEKIT_DATA")
    if not place:
        pytest.skip("EDGEKIT_DATA is not set: real pictures are not tried")
    return Path(place)


def test_a_real_table(real: Path) -> None:
    data = load_dataset(real / "imagenet-250")
    assert len(data) == 250
    assert data.layout == "csv"
    assert data.notes == ()
    assert [s.label for s in data][:3] == [0, 4, 8]


def test_real_class_folders(real: Path) -> None:
    data = load_dataset(real / "hymenoptera", ["ants", "bees"])
    assert len(data) == 153
    assert [s.label for s in data] == sorted(s.label or 0 for s in data)
    train = load_dataset(real / "hymenoptera" / "train")
    assert len(train) == 244
    assert "imageNotFound.gif" in "".join(train.notes)


def test_pictures_of_kinds_that_are_not_read_are_to_be_converted(tmp_path: Path) -> None:
    """A phone's HEIC and a camera's raw files are pictures to who has them."""
    (tmp_path / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + bytes(64))
    (tmp_path / "raw.nef").write_bytes(b"MM")
    (tmp_path / "notes.txt").write_text("a hive")
    for look in (load_dataset, find_pictures):
        with pytest.raises(DataError) as caught:
            look(tmp_path)
        assert caught.value.fix == "convert the .heic and .nef files to JPEG or PNG first"
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.png")
    (told,) = [note for note in load_dataset(tmp_path).notes if "suffix" in note]
    assert told.startswith("3 left out, not pictures by their suffix: IMG_1.HEIC, ")
    assert told.endswith(" (convert the .heic and .nef files to JPEG or PNG first)")
