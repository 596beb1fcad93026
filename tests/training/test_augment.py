from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from edgekit.config.recipe import Augment, load_recipe
from edgekit.errors import UsageError
from edgekit.training.augment.variations import cropped, mixed_seed, seeded, variations

EVERYTHING = {
    "mirror": 0.5,
    "upside_down": 0.5,
    "degrees": 20,
    "translate": 0.1,
    "scale": [0.8, 1.2],
    "shear": 5,
    "brightness": 0.3,
    "contrast": 0.3,
    "saturation": 0.3,
    "hue": 0.1,
    "noise": 0.05,
    "erasing": 0.5,
}
NOTHING = {"crop": [1.0, 1.0], "mirror": 0.0}


def varied(transform: Any, image: Tensor, seed: int) -> Tensor:
    with seeded(seed):
        result: Tensor = transform(image)
    return result


def augment(**values: object) -> Augment:
    return Augment.model_validate(values)


def picture(h: int = 60, w: int = 80) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    return tv_tensors.Image(torch.randint(0, 256, (3, h, w), generator=rng, dtype=torch.uint8))


@pytest.mark.parametrize("options", [{}, EVERYTHING, {"trivial": True}, NOTHING])
def test_size_and_type(options: dict[str, object]) -> None:
    for seed in range(8):
        result = varied(cropped(augment(**options), 32), picture(), seed)
        assert result.shape == (3, 32, 32)
        assert result.dtype == torch.uint8


@pytest.mark.parametrize("options", [EVERYTHING, {"trivial": True}])
def test_the_seed_alone_decides_and_the_generator_is_left_alone(options: dict[str, object]) -> None:
    transform = cropped(augment(**options), 32)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = varied(transform, picture(), 7)
    assert torch.equal(state, torch.get_rng_state())
    torch.rand(10)
    assert torch.equal(first, varied(transform, picture(), 7))
    others = [varied(transform, picture(), seed) for seed in range(8, 16)]
    assert sum(torch.equal(first, other) for other in others) == 0


@pytest.mark.parametrize("name", [k for k in EVERYTHING if k != "scale"] + ["trivial"])
def test_each_option_does_something_and_zero_does_nothing(name: str) -> None:
    strong = 20.0 if name in ("degrees", "shear") else True if name == "trivial" else 0.5
    steps = variations(augment(mirror=0.0))
    assert steps == []
    transform = v2.Compose(variations(augment(**{"mirror": 0.0, name: strong})))
    changed = [not torch.equal(varied(transform, picture(), seed), picture()) for seed in range(12)]
    assert sum(changed) >= 3, name
    assert varied(transform, picture(), 0).shape == picture().shape


def test_boxes_move_with_the_pixels() -> None:
    image = torch.zeros(3, 50, 70, dtype=torch.uint8)
    image[:, 10:20, 5:25] = 255
    boxes = tv_tensors.BoundingBoxes([[5, 10, 25, 20]], format="XYXY", canvas_size=(50, 70))
    transform = v2.Compose(variations(augment(mirror=1.0, upside_down=1.0)))
    turned, moved = transform(tv_tensors.Image(image), boxes)
    x1, y1, x2, y2 = (int(v) for v in moved[0])
    assert (x1, y1, x2, y2) == (45, 30, 65, 40)
    assert bool((turned[:, y1:y2, x1:x2] == 255).all())
    assert int(turned.sum()) == 255 * 3 * 10 * 20


@pytest.mark.parametrize("seed", range(6))
def test_a_quarter_turn_moves_pixels_boxes_and_mask_alike(seed: int) -> None:
    image = torch.zeros(3, 60, 60, dtype=torch.uint8)
    image[:, 10:20, 5:25] = 255
    boxes = tv_tensors.BoundingBoxes([[5, 10, 25, 20]], format="XYXY", canvas_size=(60, 60))
    transform = v2.Compose(variations(augment(mirror=0.0, turned=1.0)))
    with seeded(seed):
        turned, moved, mask = transform(tv_tensors.Image(image), boxes, tv_tensors.Mask(image[0]))
    x1, y1, x2, y2 = (int(v) for v in moved[0])
    assert (x1, y1, x2, y2) in [(10, 35, 20, 55), (40, 5, 50, 25)]  # to the left, to the right
    assert bool((turned[:, y1:y2, x1:x2] == 255).all())
    assert int(turned.sum()) == 255 * 3 * 10 * 20
    assert torch.equal(turned[0].as_subclass(Tensor), mask.as_subclass(Tensor))


def test_both_quarter_turns_come_about_as_often_and_leave_half_alone() -> None:
    image, transform = picture(40, 40), v2.Compose(variations(augment(mirror=0.0, turned=0.5)))
    results = [varied(transform, image, seed) for seed in range(80)]
    for quarters, least, most in ((0, 25, 55), (1, 8, 32), (3, 8, 32)):
        alike = sum(torch.equal(result, torch.rot90(image, quarters, (1, 2))) for result in results)
        assert least <= alike <= most, quarters


def test_a_recipe_whose_pictures_are_not_square_cannot_turn_them() -> None:
    with pytest.raises(UsageError, match=r"augment\.turned = 0 but for a square input\.train_size"):
        load_recipe("centernet-r18", ["augment.turned=0.5", "input.train_size=[192, 320]"])


def test_seeds_mix() -> None:
    seeds = {mixed_seed(a, b, c) for a in range(4) for b in range(4) for c in range(50)}
    assert len(seeds) == 800
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert mixed_seed(1, 2) == mixed_seed(1, 2) != mixed_seed(2, 1)
