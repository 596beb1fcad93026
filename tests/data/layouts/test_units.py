"""Boxes from 0 to 1 in formats that have pixels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit.data import load_dataset
from edgekit.data.layouts.files.units import are_parts
from edgekit.errors import DataError
from tests.data.layouts.made import SIZES, TRUTH, coco, labelme, pictures, text
from tests.data.layouts.test_label_files import found


def in_parts(**more: Any) -> dict[str, Any]:
    data = coco(**more)
    sizes = {image["id"]: (image["width"], image["height"]) * 2 for image in data["images"]}
    for item in data["annotations"]:
        size = sizes[item["image_id"]]
        item["area"] = 0.1
        item["bbox"] = [v / s for v, s in zip(item["bbox"], size, strict=True)]
        item["segmentation"] = [[v / size[i % 2] for i, v in enumerate(ring)] for ring in item.get("segmentation", ())]
    return data


def coco_of_a_cloud(root: Path) -> None:
    pictures(root / "images")
    text(root / "labels.json", in_parts())


def coco_as_it_is_laid_out(root: Path) -> None:
    pictures(root / "images")
    text(root / "annotations" / "instances_default.json", in_parts())


def labelme_in_parts(root: Path) -> None:
    pictures(root)
    for key, (w, h) in SIZES.items():
        data = labelme(key)
        for shape in data["shapes"]:
            shape["points"] = [[x / w, y / h] for x, y in shape["points"]]
        text(root / f"{key}.json", data)


def createml_in_parts(root: Path) -> None:
    pictures(root)
    items = []
    for key, (w, h) in SIZES.items():
        boxes = [
            {"label": name, "coordinates": {"x": (a + c) / 2 / w, "y": (b + d) / 2 / h,
                                            "width": (c - a) / w, "height": (d - b) / h}}
            for name, (a, b, c, d) in TRUTH[key]
        ]  # fmt: skip
        items.append({"image": f"{key}.png", "annotations": boxes})
    text(root / "_annotations.createml.json", items)


@pytest.mark.parametrize("write", [coco_of_a_cloud, coco_as_it_is_laid_out, labelme_in_parts, createml_in_parts])
def test_they_are_read_as_parts_and_said(write: Callable[[Path], None], tmp_path: Path) -> None:
    write(tmp_path)
    boxes = found(tmp_path, split="all")
    for key, mine in TRUTH.items():
        assert [name for name, _ in boxes[key]] == [name for name, _ in mine]
        for (_, got), (_, wanted) in zip(boxes[key], mine, strict=True):
            assert got == pytest.approx(wanted, abs=1e-3)
    notes = load_dataset(tmp_path, None, "all").notes
    assert any("read as parts of the picture" in note for note in notes), notes
    areas = [sample.box_areas for sample in load_dataset(tmp_path, None, "all")]
    assert all(area is None for area in areas), "0.1 is no area in pixels"


def test_outlines_go_with_their_boxes(tmp_path: Path) -> None:
    pictures(tmp_path / "images")
    data = coco(polygons=True)
    for item in data["annotations"]:
        xs, ys = item["segmentation"][0][::2], item["segmentation"][0][1::2]
        item["bbox"] = [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
    text(tmp_path / "labels.json", data)
    wanted = [sample.mask.read() for sample in load_dataset(tmp_path, None, "all", truth="masks") if sample.mask]
    (tmp_path / "labels.json").unlink()
    sizes = {image["id"]: (image["width"], image["height"]) * 2 for image in data["images"]}
    for item in data["annotations"]:
        size = sizes[item["image_id"]]
        item["bbox"] = [v / s for v, s in zip(item["bbox"], size, strict=True)]
        item["segmentation"] = [[v / size[i % 2] for i, v in enumerate(ring)] for ring in item["segmentation"]]
    text(tmp_path / "labels.json", data)
    got = [sample.mask.read() for sample in load_dataset(tmp_path, None, "all", truth="masks") if sample.mask]
    assert len(got) == len(wanted) == 3
    for mine, theirs in zip(got, wanted, strict=True):
        assert (mine == theirs).all()


def test_without_sizes_coco_is_refused(tmp_path: Path) -> None:
    pictures(tmp_path / "images")
    data = in_parts()
    for image in data["images"]:
        del image["width"]
    text(tmp_path / "labels.json", data)
    with pytest.raises(DataError, match="does not say how large"):
        load_dataset(tmp_path, None, "all")


def test_one_box_of_pixels_makes_pixels_of_all(tmp_path: Path) -> None:
    pictures(tmp_path / "images")
    data = coco()
    data["annotations"][0]["bbox"] = [0.1, 0.2, 0.5, 0.5]
    text(tmp_path / "labels.json", data)
    first = load_dataset(tmp_path, None, "all").samples[0]
    assert first.boxes is not None
    assert first.boxes[0].tolist() == pytest.approx([0.1, 0.2, 0.6, 0.7])


@pytest.mark.parametrize(
    ("numbers", "parts"),
    [
        ([0, 0, 0.5, 1], True),
        ([0, 0, 0.5, 1.004], True),
        ([0, 0, 1, 1], False),  # a pixel in the corner
        ([0.2, 0.2, 0.5, 30], False),
        ([-0.4, 0, 0.5, 1], False),
        ([], False),
        ([float("nan")], False),
    ],
)
def test_parts_lie_from_0_to_1_and_are_not_whole(numbers: list[float], parts: bool) -> None:
    assert are_parts(map(float, numbers)) is parts
