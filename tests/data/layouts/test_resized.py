"""Pictures of another size than their labels state, VOC counted from 0, and x y that may be a corner or a centre."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgekit.data import Dataset, load_dataset
from edgekit.errors import DataError, LayoutError
from tests.data.layouts.made import SIZES, TRUTH, WRITERS, coco, pictures, table, text, xml

KINDS = ("coco-flat", "labelimg-xml", "labelme", "hasty", "datumaro", "cvat-xml")


def boxes(data: Dataset) -> dict[str, Any]:
    return {Path(s.name).stem: sorted(s.ground_truth().boxes.tolist()) for s in data}


def resize(root: Path, how: float, sides: tuple[float, float] = (1, 1)) -> None:
    for file in root.rglob("*.png"):
        w, h = SIZES[file.stem]
        size = round(w * how * sides[0]), round(h * how * sides[1])
        Image.fromarray(np.zeros((size[1], size[0], 3), np.uint8)).save(file)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("factor", [0.5, 3])
def test_boxes_are_scaled_with_pictures_that_were(kind: str, factor: float, tmp_path: Path) -> None:
    WRITERS[kind](tmp_path)
    resize(tmp_path, factor)
    data = load_dataset(tmp_path, None, "all")
    for key, mine in boxes(data).items():
        np.testing.assert_allclose(mine, sorted([v * factor for v in box] for _, box in TRUTH[key]), atol=1e-3)
    assert any("another size than the labels state, boxes scaled with it" in note for note in data.notes), data.notes


def test_the_order_of_pictures_stays(tmp_path: Path) -> None:
    pictures(tmp_path / "images")
    text(tmp_path / "images" / "labels.json", coco())
    order = [s.name for s in load_dataset(tmp_path, None, "all")]
    Image.fromarray(np.zeros((120, 160, 3), np.uint8)).save(tmp_path / "images" / "a.png")
    assert [s.name for s in load_dataset(tmp_path, None, "all")] == order


def test_boxes_that_fit_the_file_alone_stay_as_they_are(tmp_path: Path) -> None:
    """The size was wrong, not the boxes."""
    pictures(tmp_path / "images")
    data = coco()
    for image in data["images"]:
        image |= {"width": image["width"] // 2, "height": image["height"] // 2}
    text(tmp_path / "labels.json", data)
    read = load_dataset(tmp_path, None, "all")
    assert boxes(read)["a"] == sorted(list(box) for _, box in TRUTH["a"])
    assert any("boxes read as they stand" in note for note in read.notes), read.notes


def test_pictures_of_another_shape_with_boxes_beyond_them_are_left_out(tmp_path: Path) -> None:
    WRITERS["labelme"](tmp_path)
    resize(tmp_path, 0.5, (1, 0.6))
    with pytest.raises(Exception, match="of another shape than the labels state"):
        load_dataset(tmp_path, None, "all")


@pytest.mark.parametrize("inclusive", [False, True])
@pytest.mark.parametrize("folders", [("JPEGImages", "Annotations"), ("set", "set")])
def test_voc_counted_from_0_is_told(folders: tuple[str, str], inclusive: bool, tmp_path: Path) -> None:
    pictures(tmp_path / folders[0])
    w, h = SIZES["b"]
    edge = [(0, 0, 25, 40), (30, 0, w, h)]
    ends = [(a, b, c - inclusive, d - inclusive) for a, b, c, d in edge]
    for key in "abc":
        text(tmp_path / folders[1] / f"{key}.xml", xml(key).replace("<name>bee", "<name>bee"))
    objects = "".join(
        f"<object><name>bee</name><bndbox><xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax></bndbox></object>"
        for a, b, c, d in ends
    )
    size = f"<size><width>{w}</width><height>{h}</height><depth>3</depth></size>"
    text(tmp_path / folders[1] / "b.xml", f"<annotation><filename>b.png</filename>{size}{objects}</annotation>")
    data = load_dataset(tmp_path, None, "all")
    assert boxes(data)["b"] == [list(map(float, box)) for box in edge]
    assert any("counted from 0" in note for note in data.notes), data.notes


def _table(root: Path, centres: bool, parts: bool) -> None:
    pictures(root)
    lines = [["filename", "x", "y", "w", "h", "class"]]
    for key, mine in TRUTH.items():
        for name, (a, b, c, d) in mine:
            sides = SIZES[key] * 2 if parts else (1, 1, 1, 1)
            first = ((a + c) / 2, (b + d) / 2) if centres else (a, b)
            numbers = [v / s for v, s in zip((*first, c - a, d - b), sides, strict=True)]
            lines.append([f"{key}.png", *(f"{v:.8f}" for v in numbers), name])
    table(root / "boxes.csv", lines)


@pytest.mark.parametrize("parts", [False, True])
@pytest.mark.parametrize("centres", [False, True])
def test_x_and_y_of_a_table_are_a_corner_or_a_centre_by_where_boxes_would_lie(
    centres: bool, parts: bool, tmp_path: Path
) -> None:
    _table(tmp_path, centres, parts)
    data = load_dataset(tmp_path, None, "all")
    for key, mine in boxes(data).items():
        np.testing.assert_allclose(mine, sorted(list(box) for _, box in TRUTH[key]), atol=1e-3)
    assert centres == any("x and y as its centre" in note for note in data.notes), data.notes


def test_one_name_in_two_folders_is_no_reason_to_take_folders_for_classes(tmp_path: Path) -> None:
    for camera in ("cam1", "cam2"):
        pictures(tmp_path / camera)
    text(tmp_path / "all.json", coco())
    with pytest.raises(DataError, match="several pictures of this name: cam1/a.png and cam2/a.png"):
        load_dataset(tmp_path)


def test_labels_as_json_in_json_are_not_passed_by(tmp_path: Path) -> None:
    """LabelU's."""
    pictures(tmp_path)
    result = json.dumps({"width": 80, "height": 60, "annotations": [{"toolName": "rectTool", "result": []}]})
    text(tmp_path / "export.json", [{"id": 1, "result": result, "fileName": "a.png"}])
    with pytest.raises(LayoutError, match="does not read"):
        load_dataset(tmp_path)
