"""How training pictures are varied: torchvision's transforms v2, which move boxes and masks along with pixels.

Only training pictures go through here. What evaluation and devices see is `edgekit.vision.preprocess`, always.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import InterpolationMode, v2

from edgekit.config.recipe import Augment
from edgekit.training.augment.colour import Colour
from edgekit.vision.image import Frame

_GREY = 114
_FILL = {tv_tensors.Mask: -1, "others": _GREY}  # void


def variations(augment: Augment) -> list[v2.Transform]:
    """The steps that keep a picture's size, in their order, for uint8 tv_tensors with or without boxes or a mask."""
    steps: list[v2.Transform] = []
    if augment.mirror:
        steps.append(v2.RandomHorizontalFlip(augment.mirror))
    if augment.upside_down:
        steps.append(v2.RandomVerticalFlip(augment.upside_down))
    if augment.turned:
        steps.append(v2.RandomApply([QuarterTurn()], augment.turned))
    if augment.trivial:
        steps.append(v2.TrivialAugmentWide(interpolation=InterpolationMode.BILINEAR, fill=_GREY))
    else:
        if augment.degrees or augment.translate or augment.shear or augment.scale != (1.0, 1.0):
            steps.append(
                v2.RandomAffine(
                    augment.degrees,
                    (augment.translate, augment.translate),
                    augment.scale,
                    augment.shear or None,
                    interpolation=InterpolationMode.BILINEAR,
                    fill=_FILL,
                )
            )
        if augment.brightness or augment.contrast or augment.saturation or augment.hue:
            steps.append(Colour(augment.brightness, augment.contrast, augment.saturation, augment.hue))
    if augment.noise:
        steps.append(v2.GaussianNoise(sigma=augment.noise))
    if augment.erasing:
        steps.append(v2.RandomErasing(augment.erasing, scale=(0.02, 0.2), value=_GREY))
    return steps


class QuarterTurn(v2.Transform):  # type: ignore[misc]
    """Turns a square picture to the left or to the right, with its mask and its boxes; no pixel is resampled."""

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"quarters": 1 if torch.rand(()) < 0.5 else 3}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        quarters = params["quarters"]
        if isinstance(inpt, tv_tensors.BoundingBoxes):
            side = inpt.canvas_size[0]
            x1, y1, x2, y2 = inpt.as_subclass(Tensor).unbind(-1)
            corners = (y1, side - x2, y2, side - x1) if quarters == 1 else (side - y2, x1, side - y1, x2)
            return tv_tensors.wrap(torch.stack(corners, -1), like=inpt)
        if isinstance(inpt, (tv_tensors.Image, tv_tensors.Mask)):
            turned = torch.rot90(inpt.as_subclass(Tensor), quarters, (-2, -1))
            return tv_tensors.wrap(turned.contiguous(), like=inpt)
        return inpt


def cropped(augment: Augment, size: int | tuple[int, int]) -> v2.Compose:
    """For whole-picture labels: a random crop of `size` (a square's side, or height and width), then `variations`."""
    crop = v2.RandomResizedCrop(size, scale=augment.crop, antialias=True)
    return v2.Compose([crop, *variations(augment)])


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """torch's random numbers in the block depend on `seed` alone; the generator is left as it was.

    One seed a picture and epoch makes a picture's variation independent of workers, processes and interruptions.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the GPUs too
        yield


def mixed_seed(*numbers: int) -> int:
    """One seed from several numbers (a run's seed, epoch, picture), well mixed."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def frame_of(image: Tensor) -> Frame:
    """uint8 [3, H, W] RGB -> uint8 [H, W, 3] BGR."""
    return np.ascontiguousarray(image.flip(0).permute(1, 2, 0).numpy())
