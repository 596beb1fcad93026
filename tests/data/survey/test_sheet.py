"""The sheet of pictures: each where it belongs, with its boxes, its mask and its title."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgekit.data.sample import Dataset, Sample
from edgekit.data.survey.sets import Sets
from edgekit.data.survey.sheet import Cell, data_sheet, write_sheet
from edgekit.vision.image import read_picture


def test_every_picture_and_its_boxes_are_shown(tmp_path: Path) -> None:
    red, blue = np.zeros((20, 30, 3), np.uint8), np.zeros((20, 30, 3), np.uint8)
    red[..., 2], blue[..., 0] = 255, 255
    path = tmp_path / "sheet.png"
    write_sheet(path, [Cell(red, "a"), Cell(blue, "b", [((5, 5, 15, 15), (255, 64, 0))])])
    sheet = read_picture(path)
    assert sheet.shape == (36, 64, 3)
    assert sheet[10, 10].tolist() == [0, 0, 255]  # BGR
    assert sheet[3, 40].tolist() == [255, 0, 0]
    assert sheet[5, 42].tolist() == [0, 64, 255]  # the box's corner
    assert (np.unique(sheet[20:34, :30]) < 128).any()  # a title


def test_samples_are_scaled_with_their_boxes(tmp_path: Path) -> None:
    grey = np.full((480, 640, 3), 90, np.uint8)
    box = np.array([[64, 48, 320, 240]], np.float32)
    one = Sample(None, grey, None, "a\N{SNOWMAN}.jpg", boxes=box, box_labels=np.array([0]))
    aside = Sample(None, grey, None, "b", boxes=[], box_labels=[], ignored_boxes=box, ignored_labels=np.array([0]))
    parts = {"train": Dataset((one,), ("bee",), "yolo"), "val": Dataset((aside,), ("bee",), "yolo")}
    data_sheet(tmp_path / "new" / "sheet.png", Sets("yolo", ("bee",), parts))
    sheet = read_picture(tmp_path / "new" / "sheet.png")
    assert sheet.shape == (256, 644, 3)
    assert sheet[24, 60].tolist() == [0, 159, 230]  # half the size: the box's upper edge in the first class's colour
    assert sheet[120, 160].tolist() == [0, 159, 230]
    assert sheet[24, 322 + 60].tolist() == [255, 255, 255]  # set aside
    assert sheet[60, 60].tolist() == [90, 90, 90]


def test_masks_are_laid_over_and_void_is_not(tmp_path: Path) -> None:
    grey = np.full((240, 320, 3), 100, np.uint8)
    mask = np.zeros((240, 320), np.int64)
    mask[:, 160:] = -1
    one = Sample(None, grey, None, "a", mask=mask.astype(np.int16))
    data_sheet(tmp_path / "sheet.png", Sets("masks", ("ground",), {"": Dataset((one,), ("ground",), "masks")}))
    sheet = read_picture(tmp_path / "sheet.png")
    assert sheet[100, 80].tolist() == [50, 129, 165]
    assert sheet[100, 240].tolist() == [100, 100, 100]


def test_a_picture_that_cannot_be_decoded_has_its_place(tmp_path: Path) -> None:
    broken = tmp_path / "a.jpg"
    broken.write_bytes(b"\xff\xd8\xff nothing more")
    parts = {"": Dataset((Sample(broken, None, None),), None, "pictures")}
    data_sheet(tmp_path / "sheet.png", Sets("pictures", None, parts))
    assert read_picture(tmp_path / "sheet.png").shape == (256, 322, 3)
