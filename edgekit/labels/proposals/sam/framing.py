"""From a picture to the encoder's input, from clicks to its pixels, and from its masks back to the picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.labels.proposals.sam.layout import Encoder
from edgekit.vision.image import Frame

LONG_SIDE = 1024  # of a picture, where the encoder takes any size: what Segment Anything was trained with
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # ImageNet's, RGB of 0 to 255 (segment_anything, sam.py)


@dataclass(frozen=True)
class Framing:
    """Where a picture lies in the encoder's input.

    Attributes:
        picture: height, width of the picture.
        inner: height, width of what it was resized to, top left in the input.
        outer: height, width of the input.
    """

    picture: tuple[int, int]
    inner: tuple[int, int]
    outer: tuple[int, int]

    def points(self, xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """[N, 2] from pixels of the picture to pixels of the input."""
        scale = np.array([self.inner[1] / self.picture[1], self.inner[0] / self.picture[0]])
        return np.asarray(xy * scale)

    def mask(self, logits: NDArray[Any], threshold: float = 0.0) -> NDArray[np.bool_]:
        """bool [h, w] of the picture from float [H, W] over the whole input, at any resolution."""
        import cv2

        outer = self.outer
        if logits.shape[0] == logits.shape[1] and outer[0] != outer[1]:
            outer = (max(outer), max(outer))  # padded to a square inside the encoder
        large: NDArray[Any] = np.asarray(logits, np.float32)
        if large.shape != outer:
            large = cv2.resize(large, outer[::-1], interpolation=cv2.INTER_LINEAR)
        inner = np.ascontiguousarray(large[: self.inner[0], : self.inner[1]])
        back = cv2.resize(inner, self.picture[::-1], interpolation=cv2.INTER_LINEAR)
        return np.asarray(back > threshold)


def framed(frame: Frame, encoder: Encoder) -> tuple[NDArray[Any], Framing]:
    """The encoder's input for uint8 [h, w, 3] BGR, and where the picture lies in it."""
    import cv2

    height, width = frame.shape[:2]
    outer = (encoder.height, encoder.width)
    if outer[0] is None or outer[1] is None:
        scale = LONG_SIDE / max(height, width)
        inner = (max(1, round(height * scale)), max(1, round(width * scale)))
        size = inner
    else:
        size = (outer[0], outer[1])
        scale = min(size[0] / height, size[1] / width)
        inner = size if encoder.stretch else (max(1, round(height * scale)), max(1, round(width * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    rgb: NDArray[Any] = cv2.resize(frame, inner[::-1], interpolation=way)[..., ::-1].astype(np.float32)
    if encoder.pixels == "imagenet":
        rgb = (rgb - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    elif encoder.pixels == "unit":
        rgb /= np.float32(255)
    whole = np.zeros((*size, 3), np.float32)
    whole[: inner[0], : inner[1]] = rgb
    laid = whole if encoder.channels_last else whole.transpose(2, 0, 1)
    batched = laid if len(encoder.image.shape) == 3 else laid[None]
    fed = np.round(batched) if encoder.image.dtype == "uint8" else batched
    return np.ascontiguousarray(fed, dtype=encoder.image.dtype), Framing((height, width), inner, size)
