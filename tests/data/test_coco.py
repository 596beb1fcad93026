"""COCO: gaps in the ids, crowds, masks' areas, splits and their folders, foreign file names, and the real set."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgekit.data import Dataset, load_dataset
from edgekit.errors import DataError

REAL = Path(os.environ.get("EDGEKIT_DATA", "nowhere"))
Make = Callable[..., Path]
CATEGORIES = [{"id": 7, "name": "wasp"}, {"id": 3, "name": "bee"}]
IMAGES = [{"id": 10, "file_name": "a.png", "width": 20, "height": 10}]


def item(box: list[float], category: int = 3, image: Any = 10, **more: Any) -> dict[str, Any]:
    return {"id": 1, "image_id": image, "category_id": category, "bbox": box, **more}


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Writes annotations/instances_<split>.json; `annotations` is a list, or the whole of the file."""

    def made(
        annotations: Any, images: Any = None, split: str = "val2017", folder: str | None = None, categories: Any = None
    ) -> Path:
        images = IMAGES if images is None else images
        for image in images:
            path = tmp_path / (split if folder is None else folder) / Path(str(image["file_name"])).name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.zeros((10, 20, 3), np.uint8)).save(path)
        (tmp_path / "annotations").mkdir(exist_ok=True)
        whole = {"images": images, "annotations": annotations, "categories": categories or CATEGORIES}
        text = json.dumps(whole if isinstance(annotations, list) else annotations)
        (tmp_path / "annotations" / f"instances_{split}.json").write_text(text)
        return tmp_path

    return made


def boxes(dataset: Dataset, at: int = 0) -> list[list[float]]:
    return dataset.samples[at].boxes.tolist()  # type: ignore[union-attr]


def test_a_data_set(make: Make) -> None:
    data = load_dataset(make([item([1, 2, 3, 4]), item([0, 0, 20, 10], 7)]))
    assert (data.layout, data.classes) == ("coco", ("bee", "wasp"))  # by id, without the gaps
    assert boxes(data) == [[1, 2, 4, 6], [0, 0, 20, 10]]
    assert data.samples[0].box_labels.tolist() == [0, 1]  # type: ignore[union-attr]
    assert data.samples[0].name == "val2017/a.png"
    assert data.samples[0].box_areas is None
    assert data.notes == ("2 objects in 1 picture: bee 1, wasp 1",)
    assert boxes(load_dataset(make([item([1, 2, 3, 4])]) / "annotations" / "instances_val2017.json")) == [[1, 2, 4, 6]]


def test_crowds_are_set_aside_and_masks_areas_kept(make: Make) -> None:
    data = load_dataset(make([item([1, 2, 3, 4], area=5.5), item([0, 0, 9, 9], area=70, iscrowd=1)]))
    (sample,) = data.samples
    assert boxes(data) == [[1, 2, 4, 6]]
    assert sample.ignored_boxes is not None
    assert sample.box_areas is not None
    assert sample.ignored_boxes.tolist() == [[0, 0, 9, 9]]
    assert sample.box_areas.tolist() == [5.5]
    assert sample.ground_truth().areas.tolist() == [5.5]
    assert data.box_counts == (1, 0)


def test_splits(make: Make) -> None:
    make([item([1, 2, 3, 4])], split="train2017")
    root = make([item([5, 5, 3, 4])], split="val2017")
    data = load_dataset(root)
    assert boxes(data) == [[5, 5, 8, 9]]
    assert data.notes[0] == "val was taken, beside it left out: train"
    assert boxes(load_dataset(root, split="train")) == [[1, 2, 4, 6]]
    assert [s.name for s in load_dataset(root, split="all")] == ["train2017/a.png", "val2017/a.png"]
    with pytest.raises(DataError, match="(?s)has no such split.*test"):
        load_dataset(root, split="test")


def test_a_split_without_its_pictures(make: Make) -> None:
    make([item([1, 2, 3, 4])], split="train2017")
    root = make([item([5, 5, 3, 4])], split="val2017", folder="train2017")  # as coco128 has it
    with pytest.raises(DataError, match="trained on"):
        load_dataset(root)
    with pytest.raises(DataError, match="no folder of pictures"):
        load_dataset(root, split="val")
    everything = load_dataset(root, split="all")
    assert len(everything) == 1
    assert everything.notes[0] == "val left out: instances_val2017.json has no folder of pictures"


def test_roboflows_files(tmp_path: Path) -> None:
    for split in ("train", "valid"):
        (tmp_path / split).mkdir()
        Image.fromarray(np.zeros((10, 20, 3), np.uint8)).save(tmp_path / split / "a.png")
        whole = {"images": IMAGES, "annotations": [item([1, 2, 3, 4])], "categories": CATEGORIES}
        (tmp_path / split / "_annotations.coco.json").write_text(json.dumps(whole))
    assert [s.name for s in load_dataset(tmp_path)] == ["valid/a.png"]
    assert [s.name for s in load_dataset(tmp_path, split="train")] == ["train/a.png"]
    assert [s.name for s in load_dataset(tmp_path / "train")] == ["a.png"]


def test_everything_left_out_is_noted(make: Make) -> None:
    images = [*IMAGES, {"id": 11, "file_name": "b.png"}, {"id": 12, "file_name": "c.png"}]
    root = make([item([1, 2, 3, 4]), item([1, 2, 3, 4], image=99)], images)
    (root / "val2017" / "b.png").unlink()
    Image.fromarray(np.zeros((10, 20, 3), np.uint8)).save(root / "val2017" / "new.png")
    data = load_dataset(root)
    text = "\n".join(data.notes)
    assert [s.name for s in data] == ["val2017/a.png", "val2017/c.png"]
    assert "1 left out, not in val2017: b.png" in text
    assert "1 annotation of a picture that is not listed, left out: id 1" in text
    assert "1 left out, not listed in instances_val2017.json: new.png" in text
    assert "1 picture without objects: val2017/c.png" in text


def test_boxes_that_are_none(make: Make) -> None:
    wrong: list[Any] = [[1, 1, 0, 5], [1, 1, -2, 5], [30, 1, 5, 5], [1, 2, 3], None, [1, 1, float("inf"), 5]]
    images = [*IMAGES, *({"id": 20 + i, "file_name": f"w{i}.png"} for i in range(len(wrong)))]
    bad = [item(box, image=20 + i) for i, box in enumerate(wrong)]
    data = load_dataset(
        make([*bad, *(item([1, 1, 2, 2], image=20 + i) for i in range(6)), item([15, 5, 10, 10])], images)
    )
    assert [s.name for s in data] == ["val2017/a.png"]
    assert boxes(data) == [[15, 5, 20, 10]]
    (said,) = [n for n in data.notes if "cannot be used" in n]
    assert said.startswith(
        "6 left out, with a box that cannot be used: val2017/w0.png annotation 1 (bee 1 1 1 6: without"
    )
    assert "val2017/w2.png annotation 1 (bee 30 1 35 6: its centre is outside" in said
    assert "val2017/w3.png annotation 1 (bee nan nan nan nan: not four numbers)" in said
    assert any(n.startswith("1 box partly outside the picture, clipped") for n in data.notes)


@pytest.mark.parametrize(
    ("segmentation", "box"),
    [
        ([[1, 2, 5, 2, 5, 6]], [1, 2, 5, 6]),
        ([[1, 2, 5, 2, 5, 6], [8, 1, 9, 1, 9, 3]], [1, 1, 9, 6]),
        ([1, 2, 5, 2, 5, 6], [1, 2, 5, 6]),
        ({"size": [10, 20], "counts": [23, 2, 8, 3, 164]}, [2, 3, 4, 6]),
        ({"size": [10, 20], "counts": "g0281l4"}, [2, 3, 4, 6]),
        ({"size": [10, 20], "counts": [25, 7, 168]}, [2, 0, 4, 10]),  # a run around the end of a column
    ],
)
def test_segmentations_become_boxes(make: Make, segmentation: Any, box: list[float]) -> None:
    row = {"id": 4, "image_id": 10, "category_id": 3, "segmentation": segmentation}
    data = load_dataset(make([row]))
    assert boxes(data) == [box]
    assert data.notes[-1] == "1 object without a box, the one around the mask taken: val2017/a.png annotation 4"
    mask = pytest.importorskip("pycocotools.mask")
    if isinstance(segmentation, dict):
        whole = segmentation if isinstance(segmentation["counts"], str) else mask.frPyObjects(segmentation, 10, 20)
        x, y, w, h = mask.toBbox(whole)
        assert [x, y, x + w, y + h] == box


@pytest.mark.parametrize(
    "segmentation",
    [
        [],
        None,
        [[1, 2, 5, 2, 5]],
        [[1, 2]],
        [["a"] * 6],
        [[1, 2, 5, 2, 5, float("nan")]],
        {},
        {"counts": "~~~"},
        {"size": [10, 20], "counts": [9, 9]},
        {"size": [10, 20], "counts": [200]},
        {"size": [10, 20], "counts": "\u20ac"},
    ],
)
def test_segmentations_that_are_none(make: Make, segmentation: Any) -> None:
    row = {"id": 4, "image_id": 10, "category_id": 3, "segmentation": segmentation}
    with pytest.raises(DataError, match=r"(?s)None of the pictures.*annotation 4 \(bee nan nan nan nan"):
        load_dataset(make([row]))


def test_one_id_for_two_pictures_is_refused(make: Make) -> None:
    images = [*IMAGES, {"id": 10, "file_name": "b.png"}]
    root = make([item([1, 2, 3, 4])], images)
    with pytest.raises(DataError, match=r"(?s)instances_val2017.json gives one image id.*id 10: a.png and b.png"):
        load_dataset(root)
    make([item([1, 2, 3, 4])], [*IMAGES, {"id": 10.0, "file_name": "b.png"}])
    with pytest.raises(DataError, match="one image id"):
        load_dataset(root)
    assert len(load_dataset(make([item([1, 2, 3, 4])], [*IMAGES, *IMAGES]))) == 1  # listed twice, the same


def test_a_picture_under_two_ids_has_the_boxes_of_both(make: Make) -> None:
    images = [*IMAGES, {"id": 11, "file_name": "a.png"}]
    data = load_dataset(make([item([1, 2, 3, 4]), item([5, 2, 3, 4], image=11), item([1, 2, 3, 4], image=11)], images))
    assert boxes(data) == [[1, 2, 4, 6], [5, 2, 8, 6]]
    assert "1 picture listed under several ids, the objects of all taken: val2017/a.png" in data.notes


def test_ids_as_text_and_as_numbers_are_the_same(make: Make) -> None:
    assert boxes(load_dataset(make([item([1, 2, 3, 4], image="10"), item([5, 5, 1, 1], image=10.0)]))) == [
        [1, 2, 4, 6],
        [5, 5, 6, 6],
    ]


def test_categories_given_twice(make: Make) -> None:
    twice = [*CATEGORIES, {"id": 3, "name": "fly"}]
    with pytest.raises(DataError, match="(?s)one category id to two.*id 3: bee and fly"):
        load_dataset(make([item([1, 2, 3, 4])], categories=twice))
    same = [{"id": 0, "name": "bee"}, {"id": 1, "name": "bee"}, {"id": 2, "name": "wasp"}]  # Roboflow's supercategory
    data = load_dataset(make([item([1, 2, 3, 4], 1), item([5, 2, 3, 4], 2)], categories=same))
    assert data.classes == ("bee", "wasp")
    assert data.samples[0].box_labels.tolist() == [0, 1]  # type: ignore[union-attr]
    assert data.notes[0] == "WARNING: several category ids have one name, taken as one class: bee"


@pytest.mark.parametrize("name", ["../../a.png", "/etc/a.png", "deeper/../a.png"])
def test_a_file_name_cannot_leave_the_folder(make: Make, name: str) -> None:
    root = make([item([1, 2, 3, 4])], [{"id": 10, "file_name": name}])
    assert [s.name for s in load_dataset(root)] == ["val2017/a.png"]
    (root / "val2017" / "a.png").unlink()
    Image.fromarray(np.zeros((10, 20, 3), np.uint8)).save(root / "a.png")
    with pytest.raises(DataError, match="None of the pictures"):
        load_dataset(root)


@pytest.mark.parametrize(
    ("annotations", "message"),
    [
        ({"images": []}, "annotations missing"),
        ([item([1, 2, 3, 4], 4)], "(?s)category that does not exist.*got: +4"),
        ([{"image_id": 10}], "annotations missing, or one of them without category_id"),
        ({"images": [], "annotations": [], "categories": []}, "categories missing"),
        ({"images": [], "annotations": [], "categories": [{"id": "a", "name": "b"}]}, "None of the pictures"),
        ("text", "images missing"),
    ],
)
def test_files_that_are_refused(make: Make, annotations: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_dataset(make(annotations))


def test_a_file_that_is_no_json(make: Make) -> None:
    root = make([])
    (root / "annotations" / "instances_val2017.json").write_bytes(b"{" * 100_000)
    with pytest.raises(DataError, match="cannot be read as JSON"):
        load_dataset(root)


def test_a_model_of_other_classes(make: Make) -> None:
    root = make([item([1, 2, 3, 4])])
    assert load_dataset(root, ["x", "BEE"]).samples[0].box_labels.tolist() == [1]  # type: ignore[union-attr]
    with pytest.raises(DataError, match="got: +bee"):
        load_dataset(root, ["wasp"])


@pytest.mark.skipif(not (REAL / "coco128").is_dir(), reason="EDGEKIT_DATA is not set: no real COCO set")
def test_the_real_set() -> None:
    data = load_dataset(REAL / "coco128", split="train")
    assert len(data) == 128
    assert data.classes is not None
    assert len(data.classes) == 80
    aside = sum(len(s.ignored_boxes) for s in data if s.ignored_boxes is not None)
    assert (sum(data.box_counts), aside) == (929, 10)  # 939 annotations, 10 of them crowds
    assert data.box_counts[data.classes.index("person")] == 254
    assert next(n for n in data.notes if "without objects" in n).startswith("2 pictures")
    pycocotools = pytest.importorskip("pycocotools.coco")
    theirs = pycocotools.COCO(str(REAL / "coco128" / "annotations" / "instances_train2017.json"))
    ids = {i["file_name"]: i["id"] for i in theirs.dataset["images"]}
    for sample in data:
        rows = theirs.imgToAnns[ids[sample.name.rpartition("/")[2]]]
        expected = [
            [a["bbox"][0], a["bbox"][1], a["bbox"][0] + a["bbox"][2], a["bbox"][1] + a["bbox"][3]] for a in rows
        ]
        kept = [box for box, a in zip(expected, rows, strict=True) if not a["iscrowd"]]
        assert sample.boxes is not None
        assert sample.box_labels is not None
        np.testing.assert_allclose(sample.boxes, np.array(kept).reshape(-1, 4), atol=0.01)
        names = [theirs.cats[a["category_id"]]["name"] for a in rows if not a["iscrowd"]]
        assert [data.classes[i] for i in sample.box_labels] == names
