"""Masks as people keep them: outlines in label files, colours with a table, and folders of many names."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edgekit.config.recipe import Data
from edgekit.data import load_dataset
from edgekit.data.drawn_mask import DrawnMask, Outline
from edgekit.data.load import suits
from edgekit.errors import DataError
from edgekit.training.splits import load_splits
from tests.data.layouts.made import labelme, text

CLASSES = ("background", "bee", "hornet")
SIZE = (24, 40)  # height, width
COLOURS = ((0, 0, 0), (64, 128, 64), (192, 0, 128))
KEYS = ("a", "b")


def truth(key: str) -> NDArray[np.int16]:
    """A bee's rectangle and a hornet's triangle-free shape, an L, in each picture."""
    mask = np.zeros(SIZE, np.int16)
    left = 2 + 3 * KEYS.index(key)
    mask[4:12, left : left + 10] = 1
    mask[14:20, 20:30] = 2
    mask[17:20, 24:30] = 0
    return mask


def rings(key: str) -> list[tuple[str, list[float]]]:
    left = 2 + 3 * KEYS.index(key)
    bee = [left, 4, left + 10, 4, left + 10, 12, left, 12]
    return [("bee", [float(v) for v in bee]), ("hornet", [20.0, 14, 30, 14, 30, 17, 24, 17, 24, 20, 20, 20])]


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*SIZE, 3), 99, np.uint8)).save(path)


def save(path: Path, values: NDArray[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.astype(np.uint8)).save(path)


def check(root: Path, classes: tuple[str, ...] | None = CLASSES, table: tuple[int, ...] = (0, 1, 2)) -> None:
    assert suits(root, "masks")
    data = load_dataset(root, classes, "all", truth="masks")
    assert [Path(s.name).stem[0] for s in data] == list(KEYS)
    for sample, key in zip(data, KEYS, strict=True):
        np.testing.assert_array_equal(sample.read_mask(), np.array(table)[truth(key)])
        assert sample.read().shape[:2] == SIZE


def runs(mask: NDArray[np.bool_]) -> list[int]:
    flat = np.concatenate([[False], mask.T.reshape(-1), [not mask.T.reshape(-1)[-1]]])
    ends = np.flatnonzero(flat[1:] != flat[:-1])
    return [int(v) for v in np.diff(np.concatenate([[0], ends]))]


def packed(counts: list[int]) -> str:
    """cocoapi's string of runs (maskApi.c, rleToString)."""
    letters = []
    for i, count in enumerate(counts):
        x = count - counts[i - 2] if i > 2 else count
        more = True
        while more:
            c = x & 31
            x >>= 5
            more = x != -1 if c & 16 else x != 0
            letters.append(chr((c | 32 if more else c) + 48))
    return "".join(letters)


def coco(root: Path, file: str, segmentation: Callable[[str, str, list[float]], Any]) -> None:
    images, annotations = [], []
    for i, key in enumerate(KEYS):
        images.append({"id": i, "file_name": f"{key}.png", "width": SIZE[1], "height": SIZE[0]})
        for name, ring in rings(key):
            annotations.append(
                {"id": len(annotations), "image_id": i, "category_id": CLASSES.index(name), "iscrowd": 0,
                 "bbox": [0, 0, 1, 1], "segmentation": segmentation(key, name, ring)}
            )  # fmt: skip
    categories = [{"id": i, "name": name} for i, name in enumerate(CLASSES) if i]
    text(root / file, {"images": images, "annotations": annotations, "categories": categories})


def of_class(key: str, name: str) -> NDArray[np.bool_]:
    return truth(key) == CLASSES.index(name)


@pytest.mark.parametrize("file", ["result.json", "annotations/instances_default.json"])
@pytest.mark.parametrize(
    "segmentation",
    [
        lambda key, name, ring: [ring],
        lambda key, name, ring: {"size": list(SIZE), "counts": runs(of_class(key, name))},
        lambda key, name, ring: {"size": list(SIZE), "counts": packed(runs(of_class(key, name)))},
    ],
    ids=["polygons", "runs", "packed runs"],
)
def test_cocos_outlines(tmp_path: Path, segmentation: Callable[[str, str, list[float]], Any], file: str) -> None:
    for key in KEYS:
        picture(tmp_path / "images" / f"{key}.png")
    coco(tmp_path, file, segmentation)
    check(tmp_path)
    check(tmp_path, None)
    check(tmp_path, ("hornet", "bee", "nothing"), (2, 1, 0))  # the class that is left is what is around
    check(tmp_path, ("hornet", "bee"), (-1, 1, 0))


def test_yolos_segmentation_rows(tmp_path: Path) -> None:
    names = CLASSES[1:]
    for key in KEYS:
        picture(tmp_path / "train" / "images" / f"{key}.png")
        rows = []
        for name, ring in rings(key):
            cells = [v / SIZE[1 - i % 2] for i, v in enumerate(ring)]
            rows.append(f"{names.index(name)} " + " ".join(f"{v:.9f}" for v in cells))
        text(tmp_path / "train" / "labels" / f"{key}.txt", "\n".join(rows))
    text(tmp_path / "data.yaml", "train: train/images\nnames: [bee, hornet]\n")
    check(tmp_path)
    assert not load_dataset(tmp_path, split="all").masked  # boxes, where they are what is wanted


def test_labelmes_polygons(tmp_path: Path) -> None:
    for key in KEYS:
        picture(tmp_path / f"{key}.png")
        shapes = [
            {"label": name, "points": np.reshape(ring, (-1, 2)).tolist(), "shape_type": "polygon"}
            for name, ring in rings(key)
        ]
        text(tmp_path / f"{key}.json", labelme(key) | {"shapes": shapes, "imageWidth": SIZE[1], "imageHeight": SIZE[0]})
    check(tmp_path)


def test_outlines_of_pictures_that_were_scaled_after(tmp_path: Path) -> None:
    """Drawn at twice and at half the size: the outlines go with the picture; of another shape it is left out."""
    for factor in (2.0, 0.5):
        for key in KEYS:
            picture(tmp_path / f"{key}.png")
            shapes = [
                {"label": name, "points": (factor * np.reshape(ring, (-1, 2))).tolist(), "shape_type": "polygon"}
                for name, ring in rings(key)
            ]
            sizes = {"imageWidth": int(factor * SIZE[1]), "imageHeight": int(factor * SIZE[0])}
            text(tmp_path / f"{key}.json", labelme(key) | {"shapes": shapes} | sizes)
        check(tmp_path)
        note = next(n for n in load_dataset(tmp_path, CLASSES, truth="masks").notes if "another size" in n)
        assert "2 pictures of another size than the labels state, outlines scaled with it" in note
    far = [{"label": "bee", "points": [[4, 4], [150, 4], [150, 20], [4, 20]], "shape_type": "polygon"}]
    text(tmp_path / "a.json", labelme("a") | {"shapes": far, "imageWidth": 160, "imageHeight": 30})
    data = load_dataset(tmp_path, CLASSES, truth="masks")
    assert [sample.name for sample in data] == ["b.png"]
    assert any("left out, of another shape" in note for note in data.notes)


def test_a_box_without_outline_is_its_whole_area_and_small_objects_lie_on_large_ones(tmp_path: Path) -> None:
    small, large = Outline(((2.0, 2, 4, 2, 4, 4, 2, 4),)), Outline(((0.0, 0, 6, 0, 6, 6, 0, 6),))
    mask = DrawnMask(8, 8, ((1, small), (0, large)), -1).read()
    assert (mask[:6, :6] == 0).sum() == 32
    assert (mask[2:4, 2:4] == 1).all()
    assert (mask[6:] == -1).all()
    picture(tmp_path / "a.png")
    shapes = [{"label": "bee", "points": [[12, 12], [2, 4]], "shape_type": "rectangle"},
              {"label": "bee", "points": [[20, 10], [22, 14], [24, 10]], "shape_type": "polygon"}]  # fmt: skip
    text(tmp_path / "a.json", labelme("a") | {"shapes": shapes})
    data = load_dataset(tmp_path, truth="masks")
    assert any("their whole area" in note for note in data.notes)
    assert (data.samples[0].read_mask()[4:12, 2:12] == 1).all()


def in_colours(key: str) -> NDArray[np.uint8]:
    return np.array(COLOURS, np.uint8)[truth(key)]


NAMED = list(zip(CLASSES, COLOURS, strict=True))
TABLES = {
    "class_dict.csv": "name, r, g, b\n" + "".join(f"{n}, {r}, {g}, {b}\n" for n, (r, g, b) in NAMED),
    "label_colors.txt": "".join(f"{r} {g} {b}\t\t{n}\n" for n, (r, g, b) in NAMED),
    "labelmap.txt": "# label:color_rgb:parts:actions\n"
    + "".join(f"{n}:{r},{g},{b}::\n" for n, (r, g, b) in NAMED),
    "colors.csv": "class,color\n" + "".join(f"{n},#{r:02x}{g:02x}{b:02x}\n" for n, (r, g, b) in NAMED),
}  # fmt: skip


@pytest.mark.parametrize("table", sorted(TABLES))
@pytest.mark.parametrize("palette", [False, True])
def test_colours_with_a_table(tmp_path: Path, table: str, palette: bool) -> None:
    (tmp_path / table).write_text(TABLES[table])
    for key in KEYS:
        picture(tmp_path / "images" / f"{key}.png")
        path = tmp_path / "masks" / f"{key}.png"
        path.parent.mkdir(exist_ok=True)
        if palette:  # numbers of its own, which the table does not follow
            image = Image.fromarray((5 - truth(key)).astype(np.uint8))
            image.putpalette([0] * 9 + [v for colour in reversed(COLOURS) for v in colour])
            image.save(path)
        else:
            save(path, in_colours(key))
    check(tmp_path)
    check(tmp_path, None)
    check(tmp_path, ("hornet", "background", "bee"), (1, 2, 0))
    if not palette:
        save(tmp_path / "masks" / "b.png", np.where(in_colours("b") == 192, 190, in_colours("b")))
        with pytest.raises(DataError, match=f"190 0 128, not in {table}"):
            load_dataset(tmp_path, CLASSES, truth="masks")


def test_pascals_own_colours_need_no_table(tmp_path: Path) -> None:
    colours = np.array([(0, 0, 0), (128, 0, 0), (0, 128, 0)], np.uint8)
    for key in KEYS:
        picture(tmp_path / "JPEGImages" / f"{key}.png")
        save(tmp_path / "SegmentationClass" / f"{key}.png", colours[truth(key)])
    check(tmp_path)
    save(tmp_path / "SegmentationClass" / "b.png", np.array([(9, 8, 7)], np.uint8)[np.zeros(SIZE, int)])
    with pytest.raises(DataError, match="class_dict.csv"):
        load_dataset(tmp_path, CLASSES, truth="masks")


@pytest.mark.parametrize(
    ("pictures", "masks"),
    [
        ("train/{}.png", "trainannot/{}.png"),  # CamVid
        ("train/{}.png", "train_labels/{}_L.png"),
        ("images/{}.png", "annotations/trimaps/{}.png"),  # Oxford's pets
        ("images_train/{}.png", "masks_train/{}.png"),
        ("leftImg8bit/val/hive/{}_leftImg8bit.png", "gtFine/val/hive/{}_gtFine_labelIds.png"),  # Cityscapes
        ("images/training/{}.png", "annotations/training/{}.png"),  # ADE20K
        ("train/{}.png", "train/{}_mask.png"),  # Roboflow
        ("{}.png", "{}_mask.png"),
        ("train/{}.png", "train_masks/{}_mask.gif"),  # Carvana
        ("JPEGImages/{}.png", "SegmentationClass/{}.png"),
    ],
)
def test_folders_of_pictures_and_masks(tmp_path: Path, pictures: str, masks: str) -> None:
    for key in KEYS:
        picture(tmp_path / pictures.format(key))
        save(tmp_path / masks.format(key), truth(key))
    check(tmp_path)


def test_roboflows_table_of_numbers_is_no_table_of_labels(tmp_path: Path) -> None:
    for key in KEYS:
        picture(tmp_path / "valid" / f"{key}.png")
        save(tmp_path / "valid" / f"{key}_mask.png", truth(key))
    (tmp_path / "valid" / "_classes.csv").write_text("Pixel Value, Class\n0, background\n1, bee\n2, hornet\n")
    assert load_dataset(tmp_path).classes == CLASSES
    check(tmp_path, ("hornet", "background", "bee"), (1, 2, 0))


def test_numbers_by_a_table_of_colours(tmp_path: Path) -> None:
    """The masks are numbers, and the table has the names in their order."""
    (tmp_path / "class_dict.csv").write_text(TABLES["class_dict.csv"])
    for key in KEYS:
        picture(tmp_path / "images" / f"{key}.png")
        save(tmp_path / "masks" / f"{key}.png", truth(key))
    check(tmp_path, ("hornet", "background", "bee"), (1, 2, 0))


def test_an_outline_of_no_class_is_told(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "a.json").write_text(json.dumps(labelme("a")))
    with pytest.raises(DataError, match="(?s)classes that the model does not have.*hornet"):
        load_dataset(tmp_path, ("background", "bee"), truth="masks")


def test_training_on_masks_says_what_can_be_done_with_them(tmp_path: Path) -> None:
    for split in ("train", "val"):
        for key in KEYS:
            picture(tmp_path / split / "images" / f"{key}.png")
            save(tmp_path / split / "masks" / f"{key}.png", truth(key))
    with pytest.raises(DataError, match="which this recipe does not learn") as caught:
        load_splits(tmp_path, Data.model_validate({}), 0)
    assert "edgekit train unet-r18" in (caught.value.fix or "")
