"""Boxes as programs and people write them: each kind is read, with every box where it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit.data import load_dataset
from edgekit.data.load import has_boxes
from edgekit.errors import DataError
from tests.data.layouts.made import CLASSES, NO_EMPTY, TRUTH, WRITERS, picture, text


def found(path: Path, **how: str) -> dict[str, list[tuple[str, list[float]]]]:
    """The boxes of each picture, by the last letter of its name or, of frames, by its number."""
    data = load_dataset(path, **how)  # type: ignore[arg-type]
    assert data.classes == CLASSES, data.classes
    result = {}
    for sample in data:
        assert sample.boxes is not None
        assert sample.box_labels is not None
        key = Path(sample.name).stem[-1]
        key = "abc"[int(key)] if key.isdigit() else key
        result[key] = [(CLASSES[i], b) for i, b in zip(sample.box_labels.tolist(), sample.boxes.tolist(), strict=True)]
    return result


@pytest.mark.parametrize("kind", sorted(WRITERS))
def test_it_is_read_with_the_right_boxes(kind: str, tmp_path: Path) -> None:
    WRITERS[kind](tmp_path)
    assert has_boxes(tmp_path)
    read = found(tmp_path, split="all")
    wanted = {key: boxes for key, boxes in TRUTH.items() if boxes or kind not in NO_EMPTY}
    if kind == "cvat-video":  # says nothing of frames without objects but where a track ends
        wanted.pop("c", None), read.pop("c", None)
    assert set(read) == set(wanted)
    for key, boxes in wanted.items():
        got, expected = sorted(read[key]), sorted(boxes)
        assert [name for name, _ in got] == [name for name, _ in expected]
        np.testing.assert_allclose(
            np.reshape([box for _, box in got], (-1, 4)), np.reshape([box for _, box in expected], (-1, 4)), atol=1e-3
        )


@pytest.mark.parametrize("kind", sorted(WRITERS))
def test_a_file_that_is_cut_off_is_an_error_or_a_picture_left_out(kind: str, tmp_path: Path) -> None:
    """Never a picture that is taken as one without objects."""
    WRITERS[kind](tmp_path)
    labels = [p for p in tmp_path.rglob("*") if p.suffix in (".json", ".xml", ".manifest")]
    if not labels or kind in ("yolo-without-names-but-notes", "label-studio-yolo"):
        pytest.skip("rows of text have no end that could be missing")
    for file in labels:
        file.write_bytes(file.read_bytes()[: -len(file.read_bytes()) // 3])
    with pytest.raises(DataError):
        load_dataset(tmp_path, split="all")


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        ("labelme", "[30, 20], [10, 50]", "[30, 20], [10, null]"),
        ("label-studio-min", '"x": 12.5', '"x": null'),
        ("create-ml", '"width": 20', '"width": "wide"'),
        ("via-json", '"x": 40', '"x": -400'),
        ("cvat-xml", 'xtl="10"', 'xtl="a"'),
        ("tf-csv", "bee,10,20", "bee,10,"),
        ("bdd", '"x1": 10', '"x1": null'),
        ("kitti", "10.00 20.00", "30.00 20.00"),
        ("coco-flat", "10.0, 20.0", "10.0, null"),
        ("labelimg-xml", "<xmin>11</xmin>", "<xmin>x</xmin>"),
    ],
)
def test_a_picture_with_a_box_that_cannot_be_used_is_left_out_and_named(
    kind: str, old: str, new: str, tmp_path: Path
) -> None:
    WRITERS[kind](tmp_path)
    changed = 0
    for file in tmp_path.rglob("*"):
        if file.suffix in (".json", ".xml", ".csv", ".txt"):
            changed += file.read_text().count(old)
            file.write_text(file.read_text().replace(old, new))
    assert changed == 1
    data = load_dataset(tmp_path, split="all")
    assert "a" not in {Path(s.name).stem for s in data}
    assert any(note.startswith("1 left out") and "a.png" in note for note in data.notes), data.notes


def test_wider_face(tmp_path: Path) -> None:
    for key in "abc":
        picture(tmp_path / "WIDER_val" / "images" / "0--Parade" / f"{key}.jpg", key)
    listed = (
        "0--Parade/a.jpg\n2\n10 20 20 30 2 0 0 0 0 0\n40 5 38 20 0 0 0 1 2 0 \n"
        "0--Parade/b.jpg\n1\n0 0 25 40 0 0 0 0 0 0\n0--Parade/c.jpg\n0\n0 0 0 0 0 0 0 0 0 0\n"
    )
    text(tmp_path / "wider_face_split" / "wider_face_val_bbx_gt.txt", listed)
    data = load_dataset(tmp_path, None, "all")
    assert data.classes == ("face",)
    truths = {Path(sample.name).stem: sample.ground_truth() for sample in data}
    assert truths["a"].boxes.tolist() == [[10, 20, 30, 50]]
    assert truths["b"].boxes.tolist() == [[0, 0, 25, 40]]
    assert len(truths["c"].boxes) == 0
    (set_aside,) = [sample.ignored_boxes for sample in data if Path(sample.name).stem == "a"]
    assert set_aside is not None
    assert set_aside.tolist() == [[40, 5, 78, 25]]


def test_visdrone(tmp_path: Path) -> None:
    for key in "abc":
        picture(tmp_path / "images" / f"{key}.jpg", key)
    text(tmp_path / "annotations" / "a.txt", "10,20,20,30,1,4,0,0\n40,5,38,20,0,0,0,0,\n")
    text(tmp_path / "annotations" / "b.txt", "0,0,25,40,1,1,-1,1\n")
    text(tmp_path / "annotations" / "c.txt", "")
    data = load_dataset(tmp_path, None, "all")
    assert data.classes is not None
    found = {
        Path(sample.name).stem: [
            (data.classes[label], *box)
            for label, box in zip(sample.ground_truth().labels, sample.ground_truth().boxes.tolist(), strict=True)
        ]
        for sample in data
    }
    assert found == {"a": [("car", 10, 20, 30, 50)], "b": [("pedestrian", 0, 0, 25, 40)], "c": []}
    aside = next(sample for sample in data if sample.name.endswith("a.jpg"))
    assert aside.ignored_boxes is not None
    assert aside.ignored_labels is not None
    assert aside.ignored_labels.tolist() == list(range(11)), "what nobody labelled is set aside for every class"
    assert {tuple(box) for box in aside.ignored_boxes.tolist()} == {(40, 5, 78, 25)}
    assert any(note.startswith("1 box set aside") for note in data.notes), data.notes


def test_what_nobody_labelled_is_no_class_of_its_own(tmp_path: Path) -> None:
    """KITTI's DontCare."""
    WRITERS["kitti"](tmp_path)
    before = found(tmp_path, split="all")
    label = next(tmp_path.rglob("a.txt"))
    row = "DontCare -1 -1 -10 40.00 5.00 78.00 25.00 -1 -1 -1 -1000 -1000 -1000 -10"
    label.write_text(f"{label.read_text()}\n{row}\n")
    assert found(tmp_path, split="all") == before, "classes and boxes are those of before"
    for names, wanted in ((None, [0, 1]), ((*CLASSES, "wasp"), [0, 1, 2])):
        one = next(s for s in load_dataset(tmp_path, names, "all") if Path(s.name).stem[-1] == "a")
        assert one.ignored_labels is not None
        assert one.ignored_labels.tolist() == wanted, "a model's class that is not labelled here among them"


def test_a_second_kind_of_labels_is_not_passed_by_in_silence(tmp_path: Path) -> None:
    """LabelImg writes whichever of XML and YOLO is set: half of a folder may be of each."""
    WRITERS["labelimg-xml"](tmp_path)
    plain_notes = load_dataset(tmp_path).notes
    assert not [note for note in plain_notes if "two kinds" in note]
    (second,) = tmp_path.rglob("b.xml")
    second.with_suffix(".txt").write_text("0 0.5 0.5 0.2 0.2\n")
    second.unlink()
    (told,) = [note for note in load_dataset(tmp_path).notes if "two kinds" in note]
    assert told.startswith("WARNING: only Pascal VOC's XML of each picture was read, and not ")
    assert "b.txt" in told
