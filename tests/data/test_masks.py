"""Masks of class numbers are read in the ways that people keep them, and what cannot be used is said."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgekit.api.benching.parts import Pictures
from edgekit.data import load_dataset, sample_evenly
from edgekit.data.load import suits
from edgekit.data.sample import Sample
from edgekit.errors import DataError, PictureError
from tests.tasks.painter import CLASSES, opened, painter, scene

VOID = 255
CAMVID = ("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist")


def write(
    folder: Path, count: int, *, images: str = "images", masks: str = "masks", end: str = "", seed: int = 0
) -> None:
    """`count` pictures and their masks, with a corner of void."""
    for name in (images, masks):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for i in range(count):
        frame, mask = scene(seed + i, (30, 40))
        Image.fromarray(frame[..., ::-1]).save(folder / images / f"{i}.png")
        stored = mask.astype(np.uint8)
        stored[:3, :3] = VOID
        Image.fromarray(stored).save(folder / masks / f"{i}{end}.png")


def truth(i: int, seed: int = 0) -> Any:
    _, mask = scene(seed + i, (30, 40))
    mask[:3, :3] = -1
    return mask


def test_images_and_masks_of_one_set(tmp_path: Path) -> None:
    write(tmp_path, 3)
    data = load_dataset(tmp_path, CLASSES)
    assert (data.layout, len(data), data.classes, data.masked) == ("masks", 3, CLASSES, True)
    assert [sample.name for sample in data] == ["images/0.png", "images/1.png", "images/2.png"]
    for i, sample in enumerate(data):
        np.testing.assert_array_equal(sample.read_mask(), truth(i))
        assert sample.read_mask().dtype == np.int16
    assert any("no classes.txt" in note for note in data.notes)
    assert any("255 is taken for void" in note for note in data.notes)
    with pytest.raises(DataError, match="has no splits"):
        load_dataset(tmp_path, CLASSES, "val")


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("end", ["", "_mask"])
def test_splits_lie_inside_or_around(tmp_path: Path, inside: bool, end: str) -> None:
    for split, count in (("train", 4), ("val", 2)):
        if inside:
            write(tmp_path, count, images=f"images/{split}", masks=f"masks/{split}", end=end, seed=len(split))
        else:
            write(tmp_path / split, count, end=end, seed=len(split))
    held = load_dataset(tmp_path, CLASSES)
    assert len(held) == 2
    assert any("val was taken, beside it left out: train" in note for note in held.notes)
    np.testing.assert_array_equal(held.samples[1].read_mask(), truth(1, 3))
    assert len(load_dataset(tmp_path, CLASSES, "train")) == 4
    assert len(load_dataset(tmp_path, CLASSES, "all")) == 6


def test_pascal_voc_has_a_palette_and_lists(tmp_path: Path) -> None:
    write(tmp_path, 5, images="JPEGImages", masks="SegmentationClass")
    for file in (tmp_path / "SegmentationClass").iterdir():
        grey = Image.open(file)
        coloured = Image.fromarray(np.asarray(grey))
        coloured.putpalette([value for i in range(256) for value in (i * 7 % 256, i, 255 - i)])
        coloured.save(file)
        assert Image.open(file).mode == "P"
    (tmp_path / "ImageSets" / "Segmentation").mkdir(parents=True)
    for split, rows in (("train", "0 1 2"), ("val", "3 4")):
        (tmp_path / "ImageSets" / "Segmentation" / f"{split}.txt").write_text("\n".join(rows.split()))
    data = load_dataset(tmp_path, CLASSES, truth="masks")
    assert len(data) == 2
    np.testing.assert_array_equal(data.samples[0].read_mask(), truth(3))
    assert len(load_dataset(tmp_path, CLASSES, "train")) == 3
    (tmp_path / "Annotations").mkdir()
    row = "<object><name>car</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object>"
    for i in range(5):
        (tmp_path / "Annotations" / f"{i}.xml").write_text(f"<annotation>{row}</annotation>")
    assert load_dataset(tmp_path, CLASSES).layout == "voc", "boxes where nobody asks for masks"
    assert load_dataset(tmp_path, CLASSES, truth="masks").masked
    assert suits(tmp_path, "boxes") and suits(tmp_path, "masks") and not suits(tmp_path, "labels")  # noqa: PT018


def test_names_say_which_number_is_which_class(tmp_path: Path) -> None:
    write(tmp_path, 2)
    (tmp_path / "classes.txt").write_text("Road\nsky\nVoid\ncar\n")
    data = load_dataset(tmp_path, CLASSES)  # sky road tree car
    table = np.array([1, 0, -1, 3])
    np.testing.assert_array_equal(data.samples[0].read_mask(), np.where(truth(0) < 0, -1, table[truth(0)]))
    assert load_dataset(tmp_path).classes == ("Road", "sky", "car")
    (tmp_path / "classes.txt").write_text("0: sky\n1: road\n2: lamp\n3: car")
    with pytest.raises(DataError, match="no class of the model") as error:
        load_dataset(tmp_path, CLASSES)
    assert "2 (lamp)" in str(error.value)
    (tmp_path / "classes.txt").write_text("0: sky\n0: road")
    with pytest.raises(DataError, match="one number twice"):
        load_dataset(tmp_path, CLASSES)


def test_the_number_behind_the_last_class_is_void_and_said(tmp_path: Path) -> None:
    write(tmp_path, 4)
    data = load_dataset(tmp_path, CLASSES[:3])
    assert any("WARNING: the number 3" in note for note in data.notes)
    assert (data.samples[0].read_mask()[truth(0) == 3] == -1).all()
    with pytest.raises(DataError, match="no class of the model"):
        load_dataset(tmp_path, CLASSES[:2])


def test_a_number_that_comes_late_is_told_with_its_file(tmp_path: Path) -> None:
    write(tmp_path, 1)
    sample = load_dataset(tmp_path, CLASSES).samples[0]
    stored = np.zeros((30, 40), np.uint8)
    stored[4, 4] = 77
    Image.fromarray(stored).save(tmp_path / "masks" / "0.png")
    with pytest.raises(DataError, match=r"0\.png has a number that is no class") as error:
        sample.read_mask()
    assert "77" in str(error.value)


@pytest.mark.parametrize("classes", [("background", "hive"), ("hive", "around it"), None])
def test_masks_of_0_and_255_are_of_one_class(tmp_path: Path, classes: Any) -> None:
    write(tmp_path, 2)
    for i in range(2):
        Image.fromarray(np.where(scene(i, (30, 40))[1] == 1, 255, 0).astype(np.uint8)).save(tmp_path / f"masks/{i}.png")
    (tmp_path / "classes.txt").write_text("hive")
    data = load_dataset(tmp_path, classes)
    assert data.classes == (classes or ("background", "hive"))
    inside = data.classes.index("hive") if data.classes else 1
    np.testing.assert_array_equal(data.samples[0].read_mask() == inside, scene(0, (30, 40))[1] == 1)
    assert not (data.samples[0].read_mask() < 0).any()


def test_what_cannot_be_used_is_left_out_and_said(tmp_path: Path) -> None:
    write(tmp_path, 4)
    (tmp_path / "masks" / "1.png").unlink()
    Image.fromarray(np.zeros((30, 41), np.uint8)).save(tmp_path / "masks" / "2.png")
    (tmp_path / "masks" / "3.png").write_bytes(b"no picture")
    Image.fromarray(np.zeros((30, 40), np.uint8)).save(tmp_path / "masks" / "9.png")
    data = load_dataset(tmp_path, CLASSES)
    assert [sample.name for sample in data] == ["images/0.png"]
    told = "\n".join(data.notes)
    assert "1 left out, without a mask: images/1.png" in told
    assert "another size: images/2.png (40 x 30, its mask 41 x 30)" in told
    assert "unreadable, left out: images/3.png" in told
    assert "masks of no picture: masks/9.png" in told


def test_a_jpeg_and_a_picture_in_colours_are_no_masks(tmp_path: Path) -> None:
    write(tmp_path, 1)
    colours = np.random.default_rng(0).integers(0, 255, (30, 40, 3)).astype(np.uint8)
    Image.fromarray(colours).save(tmp_path / "masks" / "0.png")
    with pytest.raises(DataError, match="colours that no class has") as error:
        load_dataset(tmp_path, CLASSES)
    assert "class_dict.csv" in str(error.value)
    (tmp_path / "masks" / "0.png").unlink()
    Image.fromarray(colours[..., 0]).save(tmp_path / "masks" / "0.jpg")
    with pytest.raises(DataError, match="a JPEG, whose numbers are blurred"):
        load_dataset(tmp_path, CLASSES)


def test_three_equal_channels_and_sixteen_bits_are_read(tmp_path: Path) -> None:
    write(tmp_path, 2)
    stored = np.asarray(Image.open(tmp_path / "masks" / "0.png"))
    Image.fromarray(stored[..., None].repeat(3, 2)).save(tmp_path / "masks" / "0.png")
    Image.fromarray(np.asarray(Image.open(tmp_path / "masks" / "1.png")).astype(np.uint16)).save(
        tmp_path / "masks" / "1.png"
    )
    for i, sample in enumerate(load_dataset(tmp_path, CLASSES)):
        np.testing.assert_array_equal(sample.read_mask(), truth(i))


@pytest.mark.parametrize("orientation", [1, 3, 5, 6, 7, 8])
def test_a_mask_drawn_on_the_stored_picture_is_turned_with_it(tmp_path: Path, orientation: int) -> None:
    """Grey of the picture and number of the mask are the same in each pixel: they stay so, turned."""
    write(tmp_path, 1)
    _, mask = scene(0, (30, 40))
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray((60 * mask).astype(np.uint8)).save(tmp_path / "images" / "0.png", exif=exif)
    Image.fromarray(mask.astype(np.uint8)).save(tmp_path / "masks" / "0.png")
    sample = load_dataset(tmp_path, CLASSES).samples[0]
    frame = sample.read()[..., 0]
    if orientation == 3:  # the sides are not swapped: nothing tells how it was drawn, and most tools draw upright
        assert frame.shape == sample.read_mask().shape
        return
    np.testing.assert_array_equal(frame // 60, sample.read_mask())


def test_a_sample_may_carry_its_mask() -> None:
    frame, mask = scene(0)
    sample = Sample(None, frame, None, mask=mask)
    np.testing.assert_array_equal(sample.read_mask(), mask)
    with pytest.raises(DataError, match="has no mask"):
        Sample(None, frame, None).read_mask()
    with pytest.raises(DataError, match="whole numbers"):
        Sample(None, frame, None, mask=mask.astype(np.float32))


def test_the_digest_sees_masks(tmp_path: Path) -> None:
    write(tmp_path, 2)
    before = load_dataset(tmp_path, CLASSES).digest
    assert load_dataset(tmp_path, CLASSES).digest == before
    assert load_dataset(tmp_path, CLASSES[::-1]).digest != before
    Image.fromarray(np.zeros((30, 40), np.uint8)).save(tmp_path / "masks" / "0.png")
    assert load_dataset(tmp_path, CLASSES).digest != before


def test_bench_takes_the_set_that_has_masks(tmp_path: Path) -> None:
    write(tmp_path / "masked", 3)
    write(tmp_path / "plain" / "a", 2, images="")
    (tmp_path / "plain" / "a" / "masks").rename(tmp_path / "plain" / "b")
    with opened(painter()) as net:
        found = Pictures([tmp_path / "plain", tmp_path / "masked"], None, lambda line: None)(net)
    assert found.masked
    assert len(found) == 3
    assert not suits(tmp_path / "masked", "labels")
    assert suits(tmp_path / "plain", "labels")


def test_camvid_is_read() -> None:
    if not os.environ.get("EDGEKIT_DATA"):
        pytest.skip("EDGEKIT_DATA is not set: no real data")
    root = Path(os.environ["EDGEKIT_DATA"]) / "camvid"
    assert (len(load_dataset(root, CAMVID)), len(load_dataset(root, CAMVID, "train"))) == (101, 367)
    data = sample_evenly(load_dataset(root, CAMVID, "all"), 20)
    seen: set[int] = set()
    for sample in data:
        mask = sample.read_mask()
        assert mask.shape == sample.read().shape[:2] == (360, 480)
        seen |= set(np.unique(mask).tolist())
    assert seen == set(range(-1, 11))
    bare = load_dataset(root)  # the gate compares on its pictures, whatever is on them
    assert (len(bare), bare.classes) == (101, None)
    with pytest.raises(DataError, match="no class of the model"):
        load_dataset(root, CAMVID[:5])
    with pytest.raises(PictureError):
        replace(data.samples[0].mask, path=root / "nothing.png").read()  # type: ignore[type-var,union-attr]
