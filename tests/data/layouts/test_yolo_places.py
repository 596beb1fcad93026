"""A YOLO set whose YAML, lists and folders are called and lie otherwise than in the manual."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.data import load_dataset
from edgekit.errors import DataError
from tests.data.layouts.made import text

ROW = "0 0.25 0.5 0.1 0.2"
BOX = [[40.0, 40.0, 60.0, 60.0]]


def picture(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 255, (100, 200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)


@pytest.mark.parametrize("root", ["../dataset", "dataset", "C:\\Users\\me\\dataset", "/home/me/dataset"])
def test_a_yaml_of_another_name_beside_the_folder(tmp_path: Path, root: str) -> None:
    for seed, split in enumerate(("train", "val")):
        picture(tmp_path / "dataset" / "images" / split / "a.jpg", seed)
        text(tmp_path / "dataset" / "labels" / split / "a.txt", ROW)
    text(tmp_path / "bees.yml", f"path: '{root}'\ntrain: images/train\nval: images/val\nnames:\n  - bee\n")
    text(tmp_path / "hyp.yaml", "lr0: 0.01\nmosaic: 1.0\n")
    data = load_dataset(tmp_path)
    assert (data.layout, data.classes, len(data)) == ("yolo", ("bee",), 1)
    np.testing.assert_allclose(np.asarray(data.samples[0].boxes), BOX, atol=1e-4)


def test_capital_letters_are_no_other_names(tmp_path: Path) -> None:
    picture(tmp_path / "Images" / "a.JPG")
    text(tmp_path / "Labels" / "a.TXT", ROW)
    text(tmp_path / "Classes.txt", "bee\n")
    data = load_dataset(tmp_path)
    assert data.classes == ("bee",)
    np.testing.assert_allclose(np.asarray(data.samples[0].boxes), BOX, atol=1e-4)


def test_a_split_that_is_named_and_not_there_is_left_out_of_all(tmp_path: Path) -> None:
    for seed, split in enumerate(("train", "valid")):
        picture(tmp_path / split / "images" / "a.jpg", seed)
        text(tmp_path / split / "labels" / "a.txt", ROW)
    places = "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n"
    text(tmp_path / "data.yaml", places + "nc: 1\nnames: [bee]\n")
    data = load_dataset(tmp_path, split="all")
    assert len(data) == 2
    assert "WARNING: data.yaml names ../test/images, which is not there" in data.notes
    with pytest.raises(DataError, match="names a place that is not there"):
        load_dataset(tmp_path, split="test")
