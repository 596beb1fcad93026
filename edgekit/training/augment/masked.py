"""Segmentation's geometry: a part of a picture, enlarged or shrunk, with its mask along."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgekit.data.mask_file import VOID
from edgekit.training.augment.scene import GREY


def cut(
    image: Tensor, mask: NDArray[np.int16], size: tuple[int, int], scale: tuple[float, float], at: tuple[float, float]
) -> tuple[Tensor, NDArray[np.int16]]:
    """`size` pixels of the picture, made `scale` times as large; grey and void where it ends before.

    Both are taken from the same rectangle of the picture with the same half-pixel centres, so that they stay on each
    other. The mask takes the nearest pixel: an index between two classes would be a third.

    Args:
        image: uint8 [3, h, w] RGB.
        mask: int16 [h, w], -1 for void.
        size: height and width of what is given.
        scale: along y and x.
        at: where the part lies along y and x, 0..1 each: of what sticks out, or of the border where nothing does.

    Returns:
        uint8 [3, *size], channels last in memory, and int16 [*size].
    """
    import cv2

    frame = image.permute(1, 2, 0).numpy()
    whole = [max(1, round(n * s)) for n, s in zip(mask.shape, scale, strict=True)]
    canvas = np.full((*size, 3), GREY, np.uint8)
    kept = np.full(size, VOID, np.int16)
    source, target = [], []
    for n, full, limit, share in zip(mask.shape, whole, size, at, strict=True):
        first = round(max(0, full - limit) * share)  # of the scaled picture, in its pixels
        length = min(full, limit)
        low = int(first * n / full)
        high = max(low + 1, min(n, round((first + length) * n / full)))
        begin = round((limit - length) * share)
        source.append(slice(low, high))
        target.append(slice(begin, begin + length))
    place, part = tuple(target), tuple(source)
    sides = (place[1].stop - place[1].start, place[0].stop - place[0].start)
    shrinks = min(scale) < 1
    cropped = np.ascontiguousarray(frame[part])
    canvas[place] = cv2.resize(cropped, sides, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    kept[place] = cv2.resize(np.ascontiguousarray(mask[part]), sides, interpolation=cv2.INTER_NEAREST_EXACT)
    return torch.from_numpy(canvas).permute(2, 0, 1), kept


def around(
    mask: NDArray[np.int16],
    label: int,
    size: tuple[int, int],
    scale: tuple[float, float],
    draws: tuple[float, float, float],
) -> tuple[float, float]:
    """Where `cut` has to begin so that its part shows a pixel of one class.

    Foreground oversampling (Isensee et al. 2021, "nnU-Net", online methods): of a picture that is mostly one class, a
    crop laid anywhere teaches little about the others.

    Args:
        mask: int16 [h, w] with at least one pixel of `label`.
        label: the class.
        size, scale: as `cut` takes them.
        draws: each 0..1, of which the first chooses the pixel and the others where in the part it lies.

    Returns:
        `at` for `cut`, y and x.
    """
    there = np.flatnonzero(mask == label)
    pixel = np.unravel_index(there[min(len(there) - 1, int(draws[0] * len(there)))], mask.shape)
    at = []
    for n, s, limit, i, draw in zip(mask.shape, scale, size, pixel, draws[1:], strict=True):
        free = max(0, max(1, round(n * s)) - limit)
        middle = (float(i) + 0.5) * s
        low, high = max(0.0, middle - limit + 1), min(float(free), middle - 1)
        at.append(min(1.0, max(0.0, low + (high - low) * draw) / free) if free else draw)
    return at[0], at[1]
