"""Objects pasted from other pictures: their pixels lie in the box that is learnt, and nothing else is hidden."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from edgekit.artifacts.metadata import RECORDED
from edgekit.config.recipe import parse_recipe
from edgekit.errors import DataError, UsageError
from edgekit.training.augment.paste import COVERED, SHARP, Cut, cuts_by_class, pasted
from edgekit.training.augment.scene import Scene
from edgekit.training.augment.variations import seeded
from edgekit.training.detection import DetectionTraining
from edgekit.training.splits import load_splits
from edgekit.training.tasks import make_task
from tests.training.test_detection import HIVE, SMALL, small


def plain(h: int, w: int, colour: tuple[int, int, int] = (10, 10, 250)) -> Tensor:
    return torch.tensor(colour, dtype=torch.uint8).view(3, 1, 1).repeat(1, h, w)


def donor(box: tuple[int, int, int, int] = (40, 30, 100, 70)) -> Scene:
    """A blue picture with a red rectangle whose left half is darker."""
    image = plain(90, 160)
    x1, y1, x2, y2 = box
    image[:, y1:y2, x1:x2] = torch.tensor([250, 10, 10], dtype=torch.uint8).view(3, 1, 1)
    image[0, y1:y2, x1 : (x1 + x2) // 2] = 200
    return Scene(image, torch.tensor([box], dtype=torch.float32), torch.tensor([1]))


def empty(h: int = 128, w: int = 128) -> Scene:
    return Scene(plain(h, w), torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))


@pytest.mark.parametrize("scale", [0.3, 0.6, 1.0, 1.3])
def test_what_is_pasted_lies_in_its_box(scale: float) -> None:
    for seed in range(8):
        with seeded(seed):
            made = pasted(empty(192, 192), donor(), 0, scale)
        assert made.labels.tolist() == [1]
        x1, y1, x2, y2 = made.boxes[0].tolist()
        assert (x2 - x1, y2 - y1) == pytest.approx((60 * scale, 40 * scale), abs=1e-3)
        ys, xs = torch.nonzero(made.image[0].int() > made.image[2].int() + 20, as_tuple=True)
        found = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], dtype=float)
        assert np.abs(found - [x1, y1, x2, y2]).max() <= 1.6
        middle = made.image[:, int((y1 + y2) / 2), int(x2 - 0.25 * (x2 - x1))]
        assert middle[0] in range(195, 252)  # of either half: it may be mirrored
        assert middle[2] <= 12  # nothing of the ground shows through


def test_half_of_them_are_mirrored() -> None:
    left_is_darker = []
    for seed in range(40):
        with seeded(seed):
            made = pasted(empty(), donor(), 0, 1.0)
        x1, y1, x2, y2 = made.boxes[0].tolist()
        row = made.image[0, int((y1 + y2) / 2)].int()
        left_is_darker.append(bool(row[int(x1 + 15)] < row[int(x2 - 15)]))
    assert 10 < sum(left_is_darker) < 30


def test_no_other_object_is_covered_and_the_scene_is_left_as_it_was() -> None:
    there = Scene(plain(128, 128), torch.tensor([[0.0, 0.0, 128.0, 60.0]]), torch.tensor([0]))
    before = there.image.clone()
    places = 0
    for seed in range(30):
        with seeded(seed):
            made = pasted(there, donor(), 0, 0.5)
        if len(made.boxes) > 1:
            places += 1
            new, old = made.boxes[1], there.boxes[0]
            shared = (torch.minimum(new[2:], old[2:]) - torch.maximum(new[:2], old[:2])).clamp(min=0).prod()
            assert float(shared) <= COVERED * 30 * 20 + 1e-3
    assert places > 20
    assert torch.equal(there.image, before)


def test_where_all_is_taken_nothing_is_pasted() -> None:
    full = Scene(plain(128, 128), torch.tensor([[0.0, 0.0, 128.0, 128.0]]), torch.tensor([0]))
    with seeded(0):
        assert pasted(full, donor(), 0, 0.5) is full


@pytest.mark.parametrize("scale", [0.1, 3.0])
def test_what_would_be_too_small_or_too_large_is_not_pasted(scale: float) -> None:
    there = empty()
    with seeded(0):
        assert pasted(there, donor(), 0, scale) is there


def test_an_object_at_the_donors_border_is_pasted_whole() -> None:
    with seeded(3):
        made = pasted(empty(), donor((0, 0, 60, 40)), 0, 1.0)
    assert len(made.boxes) == 1


def test_what_there_is_to_paste_is_ordered_by_class_and_sharp() -> None:
    boxes = [np.array([[0, 0, 30, 30], [0, 0, SHARP - 1, 90]], np.float32), np.array([[5, 5, 90, 90]], np.float32)]
    labels = [np.array([2, 0]), np.array([2])]
    assert cuts_by_class(boxes, labels) == [[Cut(0, 0), Cut(1, 0)]]


def test_a_recipe_with_paste_adds_objects_and_the_same_seed_the_same() -> None:
    def of(*changes: str) -> DetectionTraining:
        recipe = small("augment.mosaic=0", "augment.zoom=[1.0,1.0]", "data.path=x", *changes)
        task = make_task(recipe, Path("synthetic://hive?n=8&val=2&height=360&width=480"))
        assert isinstance(task, DetectionTraining)
        return task

    plainly, more = of(), of("augment.paste=1", "input.train_size=[192,256]", "input.size=[192,256]")
    counts = [len(more.varied(i, 7).boxes) for i in range(8)]
    assert sum(counts) > sum(len(plainly.varied(i, 7).boxes) for i in range(8))
    assert torch.equal(more.varied(0, 3).image, more.varied(0, 3).image)
    assert not torch.equal(more.varied(0, 3).image, more.varied(0, 4).image)


def yolo(folder: Path, names: str) -> Path:
    for split in ("train", "valid"):
        for kind in ("images", "labels"):
            (folder / split / kind).mkdir(parents=True)
        for i in range(3):
            noise = np.random.default_rng(i).integers(0, 255, (64, 96, 3), dtype=np.uint8)
            Image.fromarray(noise).save(folder / split / "images" / f"{split}{i}.png")
            (folder / split / "labels" / f"{split}{i}.txt").write_text(f"{i % 2} 0.5 0.5 0.4 0.4\n")
    (folder / "data.yaml").write_text(f"train: train/images\nval: valid/images\nnc: 2\nnames: {names}\n")
    return folder


def test_further_sets_are_trained_on_and_not_validated_on(tmp_path: Path) -> None:
    data = yolo(tmp_path / "own", "['Hornets', 'Bees']")
    text = SMALL + f'[data]\nalso = ["{HIVE}"]\n[map]\nhornet = ["Hornets"]\nbee = ["Bees"]\n'
    lines: list[str] = []
    task = make_task(parse_recipe(text, "small"), data, lines.append)
    assert isinstance(task, DetectionTraining)
    assert task.spec.classes == ("hornet", "bee")
    assert len(task) == 3 + 8
    hive = load_splits(Path(HIVE), parse_recipe(SMALL, "small").data, 0).train
    for i, sample in enumerate(hive):
        moved = task.pictures.samples[3 + i]
        assert sample.box_labels is not None
        assert moved.box_labels is not None
        assert (1 - sample.box_labels).tolist() == moved.box_labels.tolist()  # bee is the second here
        assert moved.name == f"{HIVE}: {sample.name}"
    assert task.trained_on == RECORDED
    assert any("made in code" in line for line in lines)


def test_a_further_set_with_other_classes_is_refused_with_the_map_to_paste(tmp_path: Path) -> None:
    data = yolo(tmp_path / "own", "['Hornets', 'Bees']")
    with pytest.raises(UsageError) as error:
        make_task(parse_recipe(SMALL + f'[data]\nalso = ["{HIVE}"]\n', "small"), data)
    assert "--map" in str(error.value.fix)


def test_a_further_set_without_boxes_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "folders" / name).mkdir(parents=True)
        Image.new("RGB", (64, 64)).save(tmp_path / "folders" / name / "1.png")
    with pytest.raises(DataError, match="both need boxes"):
        make_task(parse_recipe(SMALL + f'[data]\nalso = ["{tmp_path / "folders"}"]\n', "small"), Path(HIVE))


def test_a_map_may_name_classes_of_the_further_sets_alone(tmp_path: Path) -> None:
    own = yolo(tmp_path / "own", "['Hornets', 'Bees']")
    text = SMALL + f'[data]\nalso = ["{own}"]\n'
    recipe = parse_recipe(text + '[map]\nhornet = ["Hornets"]\nbee = ["Bees"]\n', "small")
    task = make_task(recipe, Path(HIVE))
    assert task.spec.classes == ("bee", "hornet")
    assert len(task) == 8 + 3
    wrong = parse_recipe(text + '[map]\nhornet = ["Hornets"]\nbee = ["Beez"]\n', "small")
    with pytest.raises(UsageError, match="not there"):
        make_task(wrong, Path(HIVE))
