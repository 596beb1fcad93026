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
    assert data.notes == ("2 objects in 1 pictures: bee 1, wasp 1",)
    assert boxes(load_dataset(make([item([1, 2, 3, 4])]) / "annotations" / "instances_val2017.json")) == [[1, 2, 4, 6]]


def test_crowds_are_set_aside_and_masks_areas_kept(make: Make) -> None:
    data = load_dataset(make([item([1, 2, 3, 4], area=5.5), item([0, 0, 9, 9], area=70, iscrowd=1)]))
    (sample,) = data.samples
    assert boxes(data) == [[1, 2, 4, 6]]
    assert sample.aside_boxes is not None
    assert sample.box_areas is not None
    assert sample.aside_boxes.tolist() == [[0, 0, 9, 9]]
    assert sample.box_areas.tolist() == [5.5]
    assert sample.truth().areas.tolist() == [5.5]
    assert data.box_counts == (1, 0)


def test_splits(make: Make) -> None:
    make([item([1, 2, 3, 4])], split="train2017")
    root = make([item([5, 5, 3, 4])], split="val2017")
    data = load_dataset(root)
    assert boxes(data) == [[5, 5, 8, 9]]
    assert data.notes[0] == "val was taken, beside it left out: train"
    assert boxes(load_dataset(root, split="train")) == [[1, 2, 4, 6]]
    assert [s.name for s in load_dataset(root, split="all")] == ["train2017/a.png", "val2017/a.png"]
    with pytest.raises(DataError, match="(?s)has not this split.*test"):
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
    assert "1 annotation(s) of a picture that is not listed, left out: id 1" in text
    assert "1 left out, not listed in instances_val2017.json: new.png" in text
    assert "1 picture(s) without objects: val2017/c.png" in text


def test_boxes_that_are_none(make: Make) -> None:
    wrong = [item([1, 1, 0, 5]), item([1, 1, -2, 5]), item([30, 1, 5, 5]), item([1, 2, 3]), item(None)]  # type: ignore[arg-type]
    data = load_dataset(make([*wrong, item([15, 5, 10, 10])]))
    assert boxes(data) == [[15, 5, 20, 10]]
    kinds = sorted(n.split(":")[0] for n in data.notes if "dropped" in n or "clipped" in n)
    assert kinds == [
        "1 box(es) dropped, outside the picture",
        "1 box(es) partly outside the picture, clipped",
        "2 box(es) dropped, not finite",
        "2 box(es) dropped, without area",
    ]


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
        ({"images": [], "annotations": [], "categories": [{"id": "a", "name": "b"}]}, "no number"),
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
    aside = sum(len(s.aside_boxes) for s in data if s.aside_boxes is not None)
    assert (sum(data.box_counts), aside) == (929, 10)  # 939 annotations, 10 of them crowds
    assert data.box_counts[data.classes.index("person")] == 254
    assert next(n for n in data.notes if "without objects" in n).startswith("2 picture(s)")
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
