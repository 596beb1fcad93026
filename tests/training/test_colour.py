from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as reference

from edgekit.training.augment.colour import Colour, recoloured


def picture(low: int = 60, high: int = 190) -> Tensor:
    """Blocks of 8 x 8, so that every 16th pixel has the mean of all; far from black and white."""
    blocks = torch.randint(low, high, (3, 6, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return blocks.repeat_interleave(8, 1).repeat_interleave(8, 2)


def test_neutral_factors_change_nothing() -> None:
    everything = picture(0, 256)
    assert int((recoloured(everything, 1, 1, 1, 0).int() - everything.int()).abs().max()) == 0


@pytest.mark.parametrize("factor", [0.7, 1.25])
def test_each_factor_is_torchvisions(factor: float) -> None:
    image = picture()
    for ours, theirs in (
        (recoloured(image, factor, 1, 1, 0), reference.adjust_brightness(image, factor)),
        (recoloured(image, 1, factor, 1, 0), reference.adjust_contrast(image, factor)),
        (recoloured(image, 1, 1, factor, 0), reference.adjust_saturation(image, factor)),
    ):
        assert int((ours.int() - theirs.int()).abs().max()) <= 1
        assert int((ours.int() - image.int()).abs().max()) > 5


def test_together_they_are_one_after_the_other() -> None:
    image = picture(90, 160)  # nothing clips on the way
    ours = recoloured(image, 1.1, 0.8, 1.2, 0)
    theirs = reference.adjust_saturation(reference.adjust_contrast(reference.adjust_brightness(image, 1.1), 0.8), 1.2)
    assert int((ours.int() - theirs.int()).abs().max()) <= 4  # theirs cuts off thrice


def test_hue_keeps_greys_and_brightness_and_comes_round() -> None:
    grey = torch.full((3, 8, 8), 120, dtype=torch.uint8)
    assert int((recoloured(grey, 1, 1, 1, 0.3).int() - 120).abs().max()) <= 1
    image = picture(100, 150)
    turned = recoloured(image, 1, 1, 1, 1 / 3)
    assert int((turned.int() - image.int()).abs().max()) > 5
    luma = [reference.rgb_to_grayscale(i).int() for i in (image, turned)]
    assert int((luma[0] - luma[1]).abs().max()) <= 2
    again = recoloured(recoloured(turned, 1, 1, 1, 1 / 3), 1, 1, 1, 1 / 3)
    assert int((again.int() - image.int()).abs().max()) <= 3


def test_a_red_turns_as_in_hsv() -> None:
    """A third of a turn takes red to green in both colour spaces, as far as they agree."""
    red = torch.tensor([180, 80, 80], dtype=torch.uint8).view(3, 1, 1).expand(3, 4, 4)
    ours = recoloured(red, 1, 1, 1, 1 / 3)[:, 0, 0].tolist()
    theirs = reference.adjust_hue(red, 1 / 3)[:, 0, 0].tolist()
    assert max(range(3), key=ours.__getitem__) == max(range(3), key=theirs.__getitem__) == 1


def test_values_are_clipped_not_wrapped() -> None:
    assert int(recoloured(picture(200, 256), 2.0, 1, 1, 0).min()) == 255
    assert int(recoloured(picture(0, 60), 1, 1.9, 1, 0).min()) == 0


def test_strengths_bound_the_factors_and_boxes_stay() -> None:
    colour = Colour(0.2, 0.0, 0.5, 0.1)
    drawn = [colour.make_params([])["factors"] for _ in range(200)]
    for i, (low, high) in enumerate([(0.8, 1.2), (1.0, 1.0), (0.5, 1.5), (-0.1, 0.1)]):
        values = [factors[i] for factors in drawn]
        assert low <= min(values)
        assert max(values) <= high
        assert max(values) - min(values) >= 0.8 * (high - low)
    boxes = tv_tensors.BoundingBoxes([[1, 2, 3, 4]], format="XYXY", canvas_size=(48, 64))
    image, same = colour(tv_tensors.Image(picture()), boxes)
    assert torch.equal(same, boxes)
    assert isinstance(image, tv_tensors.Image)
    assert not torch.equal(image, picture())
