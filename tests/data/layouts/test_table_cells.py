"""Tables of boxes that can be read in two ways: four numbers in a cell, two columns of classes, numbers for names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from edgekit.data import Dataset, load_dataset
from edgekit.errors import LayoutError
from tests.data.layouts.made import CLASSES, SIZES, TRUTH, boxes, picture, pictures, table, text

BOTH = {"a": TRUTH["a"], "b": TRUTH["b"]}
Four = tuple[float, float, float, float]


def found(data: Dataset) -> dict[str, list[tuple[str, Four]]]:
    assert data.classes is not None
    result = {}
    for sample in data:
        assert sample.boxes is not None
        assert sample.box_labels is not None
        names = [data.classes[i] for i in sample.box_labels]
        each = [tuple(round(v, 4) for v in box) for box in sample.boxes.tolist()]
        result[Path(sample.name).stem] = list(zip(names, each, strict=True))
    return result


def a_set(root: Path, cells: Sequence[tuple[str, str, Four]], *, sized: bool = False) -> Dataset:
    """A table of `cells`: picture, class and the four numbers as they stand in one cell."""
    pictures(root)
    head = ["image_id", "bbox", "label", *(("width", "height") if sized else ())]
    size = {key: [str(v) for v in SIZES[key]] if sized else [] for key in SIZES}
    table(root / "train.csv", [head, *([key, str(list(four)), name, *size[key]] for key, name, four in cells)])
    return load_dataset(root, None, "all")


def as_corners() -> list[tuple[str, str, Four]]:
    return [(key, name, box) for key, mine in BOTH.items() for name, box in mine]


def as_sides() -> list[tuple[str, str, Four]]:
    return [(key, name, (a, b, c - a, d - b)) for key, name, (a, b, c, d) in as_corners()]


@pytest.mark.parametrize("sized", [False, True])
@pytest.mark.parametrize("parts", [False, True])
def test_corners_in_one_cell_are_told_by_the_pictures(tmp_path: Path, sized: bool, parts: bool) -> None:
    cells = as_corners()
    if parts:
        sides = {key: (*size, *size) for key, size in SIZES.items()}
        cells = [(k, n, tuple(v / s for v, s in zip(box, sides[k], strict=True))) for k, n, box in cells]  # type: ignore[misc]
    data = a_set(tmp_path, cells, sized=sized)
    assert found(data) == BOTH
    assert any("3 boxes of four numbers in one cell read as x1 y1 x2 y2" in note for note in data.notes), data.notes


@pytest.mark.parametrize("sized", [False, True])
def test_one_box_that_sticks_out_does_not_change_how_all_are_read(tmp_path: Path, sized: bool) -> None:
    cells = [*as_sides(), ("c", "bee", (10, 20, 57, 30))]  # three pixels too wide
    data = a_set(tmp_path, cells, sized=sized)
    assert found(data) == BOTH | {"c": [("bee", (10, 20, 64, 50))]}


def test_one_pair_of_corners_that_is_wrong_does_not_either(tmp_path: Path) -> None:
    many = [("a", "bee", (30.0 + i, 25.0, 70.0 + i / 2, 55.0)) for i in range(19)]
    data = a_set(tmp_path, [*many, ("b", "hornet", (0, 0, 25, 40)), ("c", "bee", (10, 20, 67, 30))])
    assert found(data)["a"] == [(name, box) for _, name, box in many]
    assert found(data)["c"] == [("bee", (10, 20, 64, 30))]


def test_what_fits_both_ways_is_said(tmp_path: Path) -> None:
    data = a_set(tmp_path, [("a", "bee", (5, 5, 40, 50)), ("b", "bee", (2, 3, 60, 40))])
    assert found(data) == {"a": [("bee", (5, 5, 45, 55))], "b": [("bee", (2, 3, 62, 43))]}
    assert any("as x1 y1 x2 y2 all fit too" in note for note in data.notes), data.notes


@pytest.mark.parametrize("names", [("label", "label_name"), ("class_id", "class"), ("category_id", "species")])
def test_of_two_columns_of_classes_the_one_with_names_is_read(tmp_path: Path, names: tuple[str, str]) -> None:
    pictures(tmp_path)
    head = ["image", *names, "xmin", "ymin", "xmax", "ymax"]
    table(tmp_path / "boxes.csv", [head, *([f"{k}.png", CLASSES.index(n), n, *box] for k, n, *box in boxes())])
    assert found(load_dataset(tmp_path, None, "all")) == BOTH


def test_a_column_that_is_no_name_of_the_classes_is_none(tmp_path: Path) -> None:
    pictures(tmp_path)
    head = ["image", "class", "type", "xmin", "ymin", "xmax", "ymax"]
    rows = [[f"{k}.png", CLASSES.index(n), f"kind {i}", *box] for i, (k, n, *box) in enumerate(boxes())]
    table(tmp_path / "boxes.csv", [head, *rows])
    assert load_dataset(tmp_path, None, "all").classes == ("0", "1")


@pytest.mark.parametrize(("first", "classes"), [(0, ("bee", "hornet")), (1, ("1", "2"))])
def test_numbers_get_their_names_from_a_list_where_they_count_from_0(
    tmp_path: Path, first: int, classes: tuple[str, ...]
) -> None:
    pictures(tmp_path)
    text(tmp_path / "classes.txt", "bee\nhornet\n")
    head = ["filename", "xmin", "ymin", "xmax", "ymax", "class_id"]
    table(tmp_path / "boxes.csv", [head, *([f"{k}.png", *box, CLASSES.index(n) + first] for k, n, *box in boxes())])
    assert load_dataset(tmp_path, None, "all").classes == classes


@pytest.mark.parametrize("corners", ["Roi.X1 Roi.Y1 Roi.X2 Roi.Y2", "startX startY endX endY", "ulx uly lrx lry"])
def test_more_names_of_columns(tmp_path: Path, corners: str) -> None:
    pictures(tmp_path)
    head = ["Filename", *corners.split(), "ClassId"]
    table(tmp_path / "GT.csv", [head, *([f"{k}.png", *box, n] for k, n, *box in boxes())], ";")
    assert found(load_dataset(tmp_path, None, "all")) == BOTH


@pytest.mark.parametrize(
    "content",
    [
        "image,annotations\na.png,\"[{'x': 10, 'y': 20, 'width': 20, 'height': 30}]\"\n",
        "# CSV_HEADER = metadata_id,file_list,flags,temporal_coordinates,spatial_coordinates,metadata\n"
        '"1","[""a.png""]",0,"[]","[2,1,2,3,4]","{}"\n',
        'image,polygon\na.png,"[(1, 2), (3, 4), (5, 1)]"\n',
    ],
)
def test_a_table_of_boxes_that_is_not_read_is_not_passed_over(tmp_path: Path, content: str) -> None:
    picture(tmp_path / "a.png")
    text(tmp_path / "boxes.csv", content)
    with pytest.raises(LayoutError, match="boxes.csv"):
        load_dataset(tmp_path, None, "all")


def test_a_table_about_the_weather_is_no_label_file(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    text(tmp_path / "weather.csv", "file,temperature,humidity,wind\na.png,21.5,0.4,3\n")
    assert load_dataset(tmp_path, None, "all").layout == "pictures"
