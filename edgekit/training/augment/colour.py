"""Brightness, contrast, saturation and hue as one linear map of the colours, in a third of the time of four steps."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

GREY = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, luma, as torchvision's rgb_to_grayscale
# YIQ (FCC 1953): Y is GREY, and a turn in the I-Q plane is a turn of the hue
_YIQ = np.array([GREY, [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_RGB = np.linalg.inv(_YIQ)


class Colour(v2.Transform):  # type: ignore[misc]
    """Random factors 1 - s .. 1 + s for brightness, contrast and saturation, and a hue turned by -s .. s of a circle.

    As torchvision's ColorJitter, except that the order is fixed, nothing is clipped in between, hue turns in YIQ
    instead of HSV, and contrast turns about the mean of every 16th pixel. uint8 pictures only; boxes are left alone.
    """

    _transformed_types = (tv_tensors.Image,)

    def __init__(self, brightness: float, contrast: float, saturation: float, hue: float) -> None:
        super().__init__()
        self.strengths = (brightness, contrast, saturation, hue)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        drawn = (2 * torch.rand(4) - 1).tolist()
        b, c, s, h = (strength * value for strength, value in zip(self.strengths, drawn, strict=True))
        return {"factors": (1 + b, 1 + c, 1 + s, h)}

    def transform(self, inpt: Tensor, params: dict[str, Any]) -> Tensor:
        image: Tensor = tv_tensors.Image(recoloured(inpt.as_subclass(Tensor), *params["factors"]))
        return image


def recoloured(image: Tensor, brightness: float, contrast: float, saturation: float, hue: float) -> Tensor:
    """uint8 [3, H, W] RGB of another look; factors 1, 1, 1 and hue 0 (of a full turn) change nothing."""
    import cv2

    frame = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    middle = brightness * float(np.asarray(cv2.mean(frame[::4, ::4])[:3]) @ GREY)
    # greys are fixed points of the saturation and the hue, so contrast's offset passes through both
    matrix = _turn(hue) @ _saturate(saturation) * (brightness * contrast)
    table = np.column_stack([matrix, np.full(3, (1 - contrast) * middle)])
    changed = np.asarray(cv2.transform(frame, table), dtype=np.uint8)  # a tenth of the time that Pillow takes for it
    return torch.from_numpy(changed).permute(2, 0, 1)


def _saturate(factor: float) -> NDArray[np.float64]:
    return factor * np.eye(3) + (1 - factor) * np.tile(GREY, (3, 1))


def _turn(share: float) -> NDArray[np.float64]:
    a = -2 * math.pi * share  # red to green, as in HSV
    turn = np.array([[1, 0, 0], [0, math.cos(a), -math.sin(a)], [0, math.sin(a), math.cos(a)]])
    return np.asarray(_RGB @ turn @ _YIQ, dtype=np.float64)
