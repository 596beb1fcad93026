"""Crowds and difficult objects in a detector's training: neither objects nor background."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from edgekit.config.recipe import parse_recipe
from edgekit.data.sample import Dataset, Sample
from edgekit.training.augment.scene import Scene, clipped, placed, set_aside
from edgekit.training.detection import DetectionTraining
from edgekit.training.losses import focal_loss, logistic_loss
from edgekit.training.targets import UNLEARNT, encode_ltrb, unlearnt
from tests.training.test_detection import SMALL

CLASSES = ("bee", "hornet")
BRIGHT = (60.0, 20.0, 90.0, 50.0)  # x1 y1 x2 y2: white pixels, a hornet that is set aside


def picture(aside: bool, name: str = "a.png") -> Sample:
    frame = np.zeros((96, 128, 3), np.uint8)
    frame[10:40, 10:40] = 90
    frame[20:50, 60:90] = 255
    boxes, labels = np.array([[10, 10, 40, 40]], np.float32), np.array([0])
    if not aside:
        return Sample(None, frame, None, name, boxes, labels)
    crowd = {"ignored_boxes": np.array([BRIGHT], np.float32), "ignored_labels": np.array([1])}
    return Sample(None, frame, None, name, boxes, labels, **crowd)  # type: ignore[arg-type]


def task(aside: bool, *changes: str) -> DetectionTraining:
    made = tuple(picture(aside, f"{i}.png") for i in range(4))
    recipe = parse_recipe(SMALL, "small", changes)
    return DetectionTraining(recipe, Dataset(made, CLASSES, "yolo"), Dataset(made[:2], CLASSES, "yolo"))


def test_only_the_class_and_the_places_of_the_box_are_left_out_and_no_bell() -> None:
    boxes, labels = torch.tensor([[8.0, 8, 24, 24]]), torch.tensor([0])
    heatmap = encode_ltrb(boxes, labels, classes=2, height=32, width=64).heatmap
    plain = heatmap.clone()
    unlearnt(heatmap, torch.tensor([[4.0, 4, 36, 20]]), torch.tensor([0]))
    left = heatmap == UNLEARNT
    assert not left[1].any(), "another class is learnt there"
    assert left[0].any()
    assert not left[0, :, 9:].any()
    assert not left[0, 5:].any()
    assert not left[0, 0].any()
    assert torch.equal(heatmap[~left], plain[~left])
    assert bool((plain[left] == 0).all()), "the bell of an object stays"


@pytest.mark.parametrize("box", [(0.0, 0.0, 0.5, 0.5), (-9.0, -9.0, 3.0, 3.0), (63.0, 31.0, 99.0, 99.0)])
def test_a_tiny_box_and_one_beyond_the_rim_mark_a_place(box: tuple[float, ...]) -> None:
    heatmap = torch.zeros(1, 8, 16)
    unlearnt(heatmap, torch.tensor([box]), torch.tensor([0]))
    assert int((heatmap == UNLEARNT).sum()) == 1


@pytest.mark.parametrize("loss", [focal_loss, logistic_loss])
def test_nothing_is_learnt_there_and_all_else_as_before(loss: object) -> None:
    target = torch.zeros(1, 1, 4, 4)
    target[0, 0, 1, 1] = 1
    logits = torch.randn(1, 1, 4, 4, generator=torch.Generator().manual_seed(0))

    def of(wanted: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = logits.clone().requires_grad_()
        value = loss(x, wanted, torch.tensor(1.0))  # type: ignore[operator]
        value.backward()
        assert x.grad is not None
        return value.detach(), x.grad

    before, gradient = of(target)
    marked = target.clone()
    marked[0, 0, 3] = UNLEARNT
    after, left = of(marked)
    assert after < before
    assert not left[0, 0, 3].any()
    assert torch.equal(left[0, 0, :3], gradient[0, 0, :3])


def test_it_goes_with_the_pixels_through_every_augmentation() -> None:
    made = task(True, "augment.paste=0.5", "augment.mirror=0.5")
    marked = 0
    for index in range(4):
        for seed in range(12):
            sample = made.sample(index, seed)
            left = sample["heatmap"] == UNLEARNT
            assert not left[0].any(), "the bee is no crowd"
            # a place of the map is four pixels wide: those that are white all over, and those that are nowhere white
            low = sample["image"].float().amin(0).reshape(16, 4, 24, 4).amin((1, 3))
            high = sample["image"].float().amax(0).reshape(16, 4, 24, 4).amax((1, 3))
            high = torch.nn.functional.max_pool2d(high[None], 3, 1, 1)[0]  # a box may touch the next place
            assert bool(left[1][low > 200].all()), (index, seed)
            assert not left[1][high < 80].any(), (index, seed)
            marked += int(left.sum())
    assert marked > 500


def test_it_is_no_object_and_is_not_shown_as_one() -> None:
    for seed in range(6):
        _, boxes = task(True, "augment.mosaic=0").shown(0, seed)
        assert len(boxes) <= 1
    targets = task(True).sample(0, 1)
    assert not (targets["heatmap"][1] > 0).any()


def test_what_is_left_of_a_crowd_is_a_crowd() -> None:
    labels = torch.tensor([1, -2])
    boxes = torch.tensor([[0.0, 0, 40, 40], [0, 0, 40, 40]])
    scene = Scene(torch.zeros(3, 50, 50, dtype=torch.uint8), boxes, labels)
    rest = clipped(scene, torch.tensor([30.0, 0]), torch.tensor([50.0, 50]))
    assert rest.labels.tolist() == [-2], "a quarter of an object is none"
    assert set_aside(set_aside(labels)).tolist() == labels.tolist()
    assert set_aside(rest.labels).tolist() == [1]
    assert len(placed(scene, (50, 50), 8.0, (1.0, 1.0), "stretch").boxes) == 0, "nor is what was cut off"


def test_a_run_without_any_is_the_same_run_and_with_them_another() -> None:
    assert task(False).digest() != task(True).digest()
    with_paste = [
        made.sample(2, 5)["image"] for made in (task(True, "augment.mosaic=0"), task(False, "augment.mosaic=0"))
    ]
    assert torch.equal(*with_paste)
