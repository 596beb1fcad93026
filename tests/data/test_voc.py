"""Pascal VOC: pixels counted from 1, difficult objects, split lists, hostile XML, turned pictures, and the real set."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from edgekit.data import Dataset, load_dataset
from edgekit.data.orientation import Size, picture_size, upright
from edgekit.errors import DataError

REAL = Path(os.environ.get("EDGEKIT_DATA", "nowhere"))
Make = Callable[..., Path]


def obj(name: str, *box: float | str, difficult: int | None = None) -> str:
    ends = "".join(f"<{k}>{v}</{k}>" for k, v in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=False))
    flag = "" if difficult is None else f"<difficult>{difficult}</difficult>"
    return f"<object><name>{name}</name>{flag}<bndbox>{ends}</bndbox></object>"


def xml(*objects: str, size: tuple[int, int] = (20, 10)) -> str:
    stated = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    return f"<annotation><filename>elsewhere.jpg</filename>{stated}{''.join(objects)}</annotation>"


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A data set of 20 x 10 pictures with these annotations; None writes none."""

    def made(**annotations: str | None) -> Path:
        for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        for name, text in annotations.items():
            Image.fromarray(np.zeros((10, 20, 3), np.uint8)).save(tmp_path / "JPEGImages" / f"{name}.jpg")
            if text is not None:
                (tmp_path / "Annotations" / f"{name}.xml").write_text(text)
        return tmp_path

    return made


def boxes(dataset: Dataset, at: int = 0) -> list[list[float]]:
    return dataset.samples[at].boxes.tolist()  # type: ignore[union-attr]


def test_pixels_are_counted_from_one_and_ends_belong_to_the_box(make: Make) -> None:
    data = load_dataset(make(a=xml(obj("wasp", 1, 1, 20, 10), obj("bee", 3, 4, 3.5, 5))))
    assert (data.layout, data.classes) == ("voc", ("bee", "wasp"))
    assert boxes(data) == [[0, 0, 20, 10], [2, 3, 3.5, 5]]
    assert data.samples[0].box_labels.tolist() == [1, 0]  # type: ignore[union-attr]
    assert data.notes == ("2 objects in 1 picture: bee 1, wasp 1",)


def test_difficult_objects_are_set_aside(make: Make) -> None:
    data = load_dataset(make(a=xml(obj("bee", 1, 1, 5, 5, difficult=0), obj("bee", 6, 1, 9, 5, difficult=1))))
    (sample,) = data.samples
    assert boxes(data) == [[0, 0, 5, 5]]
    assert sample.ignored_boxes is not None
    assert sample.ignored_labels is not None
    assert (sample.ignored_boxes.tolist(), sample.ignored_labels.tolist()) == ([[5, 0, 9, 5]], [0])
    assert sample.ground_truth().ignored_boxes.tolist() == [[5, 0, 9, 5]]
    assert data.box_counts == (1,)
    assert "1 box set aside (crowds or difficult objects), in JPEGImages/a.jpg" in data.notes


def test_splits(make: Make) -> None:
    one = xml(obj("bee", 1, 1, 5, 5))
    root = make(a=one, b=xml(obj("wasp", 1, 1, 5, 5)), c=one)
    lists = root / "ImageSets" / "Main"
    (lists / "train.txt").write_text("a\n")
    (lists / "val.txt").write_text("c\nb\n")
    (lists / "trainval.txt").write_text("a\nb\nc\n")
    (lists / "bee_val.txt").write_text("c  1\nb -1\n")
    data = load_dataset(root)
    assert [s.name for s in data] == ["JPEGImages/c.jpg", "JPEGImages/b.jpg"]
    assert data.notes[0] == "val was taken, beside it left out: train, trainval"
    train = load_dataset(root, split="train")
    assert train.classes == data.classes == ("bee", "wasp")  # though train has no wasp
    assert [len(load_dataset(root, split=s)) for s in ("trainval", "all")] == [3, 3]
    with pytest.raises(DataError, match="(?s)test.*train, trainval, val, all"):
        load_dataset(root, split="test")
    (lists / "val.txt").unlink()
    with pytest.raises(DataError, match="trained on"):
        load_dataset(root)


def test_what_is_missing_is_noted(make: Make) -> None:
    good = xml(obj("bee", 1, 1, 5, 5))
    root = make(a=good, b=None, c=good, d="<annotation><object>", e=xml(), f="<html/>")
    (root / "JPEGImages" / "c.jpg").unlink()
    data = load_dataset(root)
    assert [s.name for s in data] == ["JPEGImages/a.jpg", "JPEGImages/e.jpg"]
    text = "\n".join(data.notes)
    assert "1 left out, without XML: b.jpg" in text
    assert "1 left out, no picture in JPEGImages: c" in text
    assert "2 left out, labels that cannot be read: d (" in text
    assert "f (<html>, not <annotation>)" in text
    assert "1 picture without objects: JPEGImages/e.jpg" in text
    (root / "ImageSets" / "Main" / "val.txt").write_text("a\nb\n")
    assert "1 left out, labels that cannot be read: b (no XML)" in load_dataset(root).notes


def test_boxes_that_are_none(make: Make) -> None:
    wrong = {
        "b": (obj("bee", 7, 7, 7, 7), "without area"),
        "c": (obj("bee", 1, 1, 5), "not four numbers"),
        "d": (obj("bee", "x", 1, 5, 5), "not four numbers"),
        "e": (obj("bee", 30, 1, 40, 5), "its centre is outside the picture of 20 x 10"),
        "f": (obj("bee", "nan", 1, 5, 5), "not four numbers"),
        "g": (obj("bee", 1, 1, 5, 5, difficult=1) + obj("bee", 7, 7, 7, 9), "without area"),
    }
    root = make(
        a=xml(obj("bee", 0, 5, 30, 9)), **{key: xml(obj("bee", 1, 1, 5, 5), o) for key, (o, _) in wrong.items()}
    )
    data = load_dataset(root)
    assert [s.name for s in data] == ["JPEGImages/a.jpg"]
    assert boxes(data) == [[0, 4, 20, 9]]
    (said,) = [n for n in data.notes if "box that cannot be used" in n]
    assert said.startswith(
        "6 left out, with a box that cannot be used: JPEGImages/b.jpg line 1 (bee 6 6 6 6: without area"
    )
    assert any(n.startswith("1 box partly outside the picture, clipped") for n in data.notes)
    for key, (_, why) in wrong.items():
        only = make(h=xml(obj("bee", 1, 1, 5, 5)))
        (only / "ImageSets" / "Main" / "val.txt").write_text(f"h\n{key}\n")
        assert why in next(n for n in load_dataset(only).notes if "cannot be used" in n)


def test_swapped_corners_are_swapped_and_said(make: Make) -> None:
    data = load_dataset(make(a=xml(obj("bee", 9, 6, 5, 2), obj("bee", 9, 2, 5, 6))))
    assert boxes(data) == [[4, 1, 9, 6]]  # both are one box, and one of them is dropped as written twice
    assert "2 boxes with swapped corners, swapped: JPEGImages/a.jpg line 1, JPEGImages/a.jpg line 1" in data.notes


@pytest.mark.parametrize(
    ("outline", "box"),
    [
        ("<polygon><x1>3</x1><y1>2</y1><x2>9</x2><y2>2</y2><x3>9</x3><y3>7</y3></polygon>", [2, 1, 9, 7]),
        (
            "<polygon><pt><x>3</x><y>2</y></pt><pt><x>9</x><y>4</y></pt><pt><x>5</x><y>7</y></pt></polygon>",
            [2, 1, 9, 7],
        ),
        ("<robndbox><cx>10</cx><cy>5</cy><w>4</w><h>2</h><angle>1.5707963</angle></robndbox>", [9, 3, 11, 7]),
    ],
)
def test_outlines_become_boxes(make: Make, outline: str, box: list[float]) -> None:
    data = load_dataset(make(a=xml(f"<object><name>bee</name>{outline}</object>")))
    np.testing.assert_allclose(boxes(data), [box], atol=1e-5)
    assert data.notes[1] == "1 object with an outline and no box, the box around taken: JPEGImages/a.jpg line 1"
    turned = "<robndbox><cx>10</cx><cy>5</cy><w>4</w><h>2</h><angle>inf</angle></robndbox>"
    for broken in ("<polygon><x1>3</x1><y1>q</y1><x2>9</x2></polygon>", turned):
        assert "not four numbers" in load_dataset(make(b=xml(f"<object><name>bee</name>{broken}</object>"))).notes[-1]


def test_an_object_without_a_name_leaves_its_picture_out(make: Make) -> None:
    nameless = xml("\n", obj(" ", 1, 1, 5, 5))
    data = load_dataset(make(a=xml(obj("bee", 1, 1, 5, 5)), b=nameless))
    assert [s.name for s in data] == ["JPEGImages/a.jpg"]
    assert data.notes[-1] == "1 left out, with an object that has no name: b.xml line 2"


def test_a_document_type_that_declares_nothing_is_read_over(make: Make) -> None:
    data = load_dataset(make(a="<!DOCTYPE annotation>" + xml(obj("bee", 1, 1, 5, 5))))
    assert boxes(data) == [[0, 0, 5, 5]]
    with pytest.raises(DataError, match=r"(?s)0 of them readable; a\.xml \(line 1: a document type that declares"):
        load_dataset(make(a='<!DOCTYPE annotation [<!ENTITY x "y">]>' + xml(obj("bee", 1, 1, 5, 5))))


@pytest.mark.parametrize(
    "rows",
    [
        "my a.jpg\nc 1.xml\n",
        "JPEGImages/my a.jpg\n./Annotations/c 1.xml\n",
        "/home/me/VOC/JPEGImages/my a.jpg\r\nC:\\VOC\\c 1\r\n",
        "\ufeffmy a\n\nc 1\n",
        "my a  1\nc 1 -1\n",
    ],
)
def test_lists_with_suffixes_spaces_and_paths(make: Make, rows: str) -> None:
    one = xml(obj("bee", 1, 1, 5, 5))
    root = make(**{"my a": one, "c 1": one, "left": one})
    (root / "ImageSets" / "Main" / "val.txt").write_bytes((rows + "gone.jpg\n").encode())
    data = load_dataset(root, split="val")
    assert [s.name for s in data] == ["JPEGImages/my a.jpg", "JPEGImages/c 1.jpg"]
    at = len(rows.splitlines()) + 1
    assert data.notes[0] == f"1 left out, in val.txt and neither a picture nor XML: line {at} (gone.jpg)"


@pytest.mark.parametrize(
    "attack",
    [
        '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation><object><name>&x;</name></object></annotation>',
        '<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;&x;&x;">]><annotation>&y;</annotation>',
        '<!DOCTYPE annotation SYSTEM "http://example.com/a.dtd"><annotation/>',
        "<annotation>&x;</annotation>",
    ],
)
def test_hostile_xml_is_not_read(make: Make, attack: str) -> None:
    data = load_dataset(make(a=xml(obj("bee", 1, 1, 5, 5)), b=attack))
    assert [s.name for s in data] == ["JPEGImages/a.jpg"]
    (said,) = [n for n in data.notes if "cannot be read" in n]
    assert "document type" in said or "undefined entity" in said
    assert "root:" not in "".join(data.notes)


def test_a_model_of_other_classes(make: Make) -> None:
    root = make(a=xml(obj("bee", 1, 1, 5, 5)))
    assert load_dataset(root, ["wasp", "Bee"]).samples[0].box_labels.tolist() == [1]  # type: ignore[union-attr]
    with pytest.raises(DataError, match="(?s)got: +bee.*expected: +one of wasp"):
        load_dataset(root, ["wasp"])
    with pytest.raises(DataError, match="has no objects"):
        load_dataset(make(a=xml()))


def test_another_size_is_noted_and_boxes_are_scaled_with_the_picture(make: Make) -> None:
    data = load_dataset(make(a=xml(obj("bee", 1, 1, 5, 5), size=(40, 20)), b=xml(obj("bee", 1, 1, 5, 5), size=(0, 0))))
    said = (
        "1 picture of another size than the labels state, boxes scaled with it: JPEGImages/a.jpg (40 x 20 stated, 20 x"
    )
    assert data.notes[1].startswith(said)
    assert boxes(data) == [[0, 0, 2.5, 2.5]]
    assert boxes(data, 1) == [[0, 0, 5, 5]]


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_boxes_turn_with_their_picture(make: Make, orientation: int) -> None:
    stored = np.zeros((16, 32, 3), np.uint8)
    stored[4:8, 16:32] = 255  # x 16..32, y 4..8
    exif = Image.Exif()
    exif[0x0112] = orientation
    root = make(a=xml(obj("bee", 17, 5, 32, 8), size=(32, 16)))
    Image.fromarray(stored).save(root / "JPEGImages" / "a.jpg", exif=exif, quality=100)
    data = load_dataset(root)
    frame = data.samples[0].read()
    x1, y1, x2, y2 = (int(v) for v in boxes(data)[0])
    inside = np.zeros(frame.shape[:2], dtype=bool)
    inside[y1:y2, x1:x2] = True
    assert frame.shape == (32, 16, 3)
    assert frame[inside].min() > 200
    assert frame[~inside].max() < 60
    assert data.notes[1] == "1 box turned upright with the picture (EXIF): JPEGImages/a.jpg"
    # labels that state the upright size were drawn on the upright picture
    (root / "Annotations" / "a.xml").write_text(xml(obj("bee", 5, 17, 8, 32), size=(16, 32)))
    assert boxes(load_dataset(root)) == [[4, 16, 8, 32]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_is_that_of_the_upright_picture(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(tmp_path / "a.jpg", exif=exif)
    with Image.open(tmp_path / "a.jpg") as image:
        shown = ImageOps.exif_transpose(image).size
    size = picture_size(tmp_path / "a.jpg")
    assert ((size.width, size.height), size.orientation) == (shown, orientation)
    if orientation < 5:
        assert upright((1, 2, 3, 4), Size(6, 4, orientation)) == (1, 2, 3, 4)


@pytest.mark.slow
@pytest.mark.skipif(not (REAL / "bccd-voc").is_dir(), reason="EDGEKIT_DATA is not set: no real VOC set")
def test_the_real_set() -> None:
    whole = load_dataset(REAL / "bccd-voc", split="all")
    # two of the 364 have a box of one point, a click: what was meant is not known
    assert (len(whole), whole.classes) == (362, ("Platelets", "RBC", "WBC"))
    (left,) = [n for n in whole.notes if "cannot be used" in n]
    assert left.startswith("2 left out, with a box that cannot be used: JPEGImages/BloodImage_00338.jpg line ")
    sizes = [len(load_dataset(REAL / "bccd-voc", split=s)) for s in ("train", "val", "test", "trainval")]
    assert (sizes[0] + sizes[1], sum(sizes[:3])) == (sizes[3], 362)
    assert len(load_dataset(REAL / "bccd-voc")) == sizes[1]
