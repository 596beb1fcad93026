"""Masks in folders a class, under other names, as JPEG, turned, from 1 on, and what has none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.data import load_dataset
from edgekit.data.drawn_mask import Outline
from edgekit.errors import DataError
from tests.data.layouts.made import text
from tests.data.layouts.test_mask_kinds import CLASSES, KEYS, SIZE, check, coco, of_class, picture, runs, save, truth


def test_a_folder_of_masks_a_class(tmp_path: Path) -> None:
    for key in KEYS:
        picture(tmp_path / "images" / f"{key}.png")
        for name in CLASSES[1:]:
            save(tmp_path / "masks" / name / f"{key}.png", 255 * of_class(key, name))
    check(tmp_path)
    check(tmp_path, None)
    check(tmp_path, ("hornet", "bee", "nothing"), (2, 1, 0))
    assert any("each folder of masks is a class: bee, hornet" in note for note in load_dataset(tmp_path).notes)
    with pytest.raises(DataError, match="(?s)classes that the model does not have.*hornet"):
        load_dataset(tmp_path, ("background", "bee", "fly"), truth="masks")
    save(tmp_path / "masks" / "hornet" / "b.png", np.zeros((9, 9)))
    data = load_dataset(tmp_path, CLASSES, truth="masks")
    assert len(data) == 1
    assert any("its masks of another size" in note for note in data.notes)


def test_a_folder_a_class_in_splits_and_under_a_map(tmp_path: Path) -> None:
    for key, split in zip(KEYS, ("train", "val"), strict=True):
        picture(tmp_path / split / "images" / f"{key}.png")
        for name in CLASSES[1:]:
            save(tmp_path / split / "masks" / name / f"{key}.png", of_class(key, name))
    check(tmp_path)
    from edgekit.data.classes.class_map import class_map

    names = class_map("apis=bee,vespa=hornet")
    data = load_dataset(tmp_path, ("vespa", "background", "apis"), "val", names, truth="masks")
    np.testing.assert_array_equal(data.samples[0].read_mask(), np.array([1, 2, 0])[truth("b")])


def test_folders_of_several_kinds_of_masks_are_no_classes(tmp_path: Path) -> None:
    """Of numbers, and of instances: the first that fits, as it always was."""
    for key in KEYS:
        picture(tmp_path / "images" / f"{key}.png")
        save(tmp_path / "masks" / "classes" / f"{key}.png", truth(key))
        save(tmp_path / "masks" / "instances" / f"{key}.png", 7 * truth(key))
    check(tmp_path)


@pytest.mark.parametrize(
    ("pictures", "masks"),
    [
        ("images/image_{}.png", "masks/mask_{}.png"),
        ("images/{}.png", "labels/label_{}.png"),
        ("Original Images/{}.png", "Ground Truth/{}.png"),
        ("images_png/{}.png", "masks_png/{}.png"),
    ],
)
def test_other_names(tmp_path: Path, pictures: str, masks: str) -> None:
    for key in KEYS:
        picture(tmp_path / pictures.format(key))
        save(tmp_path / masks.format(key), truth(key))
    data = load_dataset(tmp_path, CLASSES, truth="masks")
    for sample, key in zip(data, KEYS, strict=True):
        np.testing.assert_array_equal(sample.read_mask(), truth(key))


@pytest.mark.parametrize("quality", [60, 75, 95])
def test_a_jpeg_of_black_and_white_is_cut_and_said(tmp_path: Path, quality: int) -> None:
    inside = np.zeros((200, 300), bool)
    inside[40:150, 60:220] = True
    inside[70:90, 100:130] = False
    Image.new("RGB", (300, 200)).save((tmp_path / "images").mkdir() or tmp_path / "images" / "a.png")
    (tmp_path / "masks").mkdir()
    Image.fromarray((255 * inside).astype(np.uint8)).save(tmp_path / "masks" / "a.jpg", quality=quality)
    data = load_dataset(tmp_path, ("rest", "bee"), truth="masks")
    assert (data.samples[0].read_mask() != inside).mean() < 0.002
    assert any("JPEGs of black and white" in note for note in data.notes)
    numbers = np.where(inside, 7, 2).astype(np.uint8)  # what is nearly black all over is no black and white
    Image.fromarray(numbers).save(tmp_path / "masks" / "a.jpg", quality=quality)
    with pytest.raises(DataError, match="a JPEG, whose numbers are blurred"):
        load_dataset(tmp_path, ("rest", "bee"), truth="masks")


def test_runs_and_masks_of_a_turned_picture_are_turned_with_it(tmp_path: Path) -> None:
    """Drawn on the picture as it is stored, 24 wide and 40 high when it is seen."""
    (tmp_path / "images").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    for key in KEYS:
        Image.fromarray(np.full((*SIZE, 3), 99, np.uint8)).save(tmp_path / "images" / f"{key}.png", exif=exif)
    shape = lambda key, name, ring: {"size": list(SIZE), "counts": runs(of_class(key, name))}  # noqa: E731
    coco(tmp_path, "instances.json", shape)
    data = load_dataset(tmp_path, CLASSES, truth="masks")
    for sample, key in zip(data, KEYS, strict=True):
        np.testing.assert_array_equal(sample.read_mask(), np.rot90(truth(key), -1))


def test_runs_of_a_mask_are_the_mask() -> None:
    for mask in (truth("a") > 0, truth("a") == 0, np.ones((3, 4), bool), np.zeros((3, 4), bool)):
        np.testing.assert_array_equal(Outline.of_mask(mask).inside(*mask.shape), mask)


def test_numbers_from_1_on(tmp_path: Path) -> None:
    for key in KEYS:
        picture(tmp_path / "images" / f"{key}.png")
        save(tmp_path / "masks" / f"{key}.png", truth(key) + 1)
    check(tmp_path)
    assert any("WARNING" in note and "counted from 1" in note for note in load_dataset(tmp_path, CLASSES).notes)


def test_what_has_no_masks_says_what_is_read(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "a.png")
    np.save((tmp_path / "arrays").mkdir() or tmp_path / "arrays" / "a.npy", truth("a"))
    with pytest.raises(DataError, match=r"(?s)no masks that are read.*images/.*masks/CLASS/x.png.*\.npy"):
        load_dataset(tmp_path, CLASSES, truth="masks")
    panoptic = {"images": [], "categories": [], "annotations": [{"image_id": 0, "file_name": "a", "segments_info": []}]}
    text(tmp_path / "annotations" / "panoptic_val.json", panoptic)
    with pytest.raises(DataError, match="panoptic file, which is not read"):
        load_dataset(tmp_path / "annotations" / "panoptic_val.json", CLASSES)
