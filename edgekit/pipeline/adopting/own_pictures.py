"""The preprocessing of a PreprocessSpec once more, for the original of an adopted file: written apart from
`edgekit.vision.preprocess` and sharing no code with it, so that a mistake in one is a difference between the two.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgekit.spec import PreprocessSpec

_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def prepared(frame: NDArray[np.uint8], spec: PreprocessSpec) -> NDArray[np.float32]:
    """float32 [3, H, W], in the net's channel order, of a uint8 [h, w, 3] BGR frame."""
    picture = _placed(np.ascontiguousarray(np.flip(frame, axis=2)), spec)
    if spec.color == "bgr":
        picture = np.flip(picture, axis=2)
    planes = [
        (picture[:, :, c].astype(np.float64) / 255.0 - mean) / std
        for c, (mean, std) in enumerate(zip(spec.mean, spec.std, strict=True))
    ]
    return np.stack(planes).astype(np.float32)


def _placed(rgb: NDArray[np.uint8], spec: PreprocessSpec) -> NDArray[np.uint8]:
    h, w = rgb.shape[:2]
    if spec.resize == "stretch":
        return _scaled(rgb, spec.width, spec.height, spec)
    if spec.resize == "crop":
        assert spec.shorter_side is not None  # PreprocessSpec holds this
        side, longest = spec.shorter_side, math.floor(spec.shorter_side * max(h, w) / min(h, w))
        scaled = _scaled(rgb, longest if w > h else side, side if w >= h else longest, spec)
        top = round((scaled.shape[0] - spec.height) / 2.0)
        left = round((scaled.shape[1] - spec.width) / 2.0)
        return scaled[top : top + spec.height, left : left + spec.width]
    gain = min(spec.width / w, spec.height / h)
    if spec.align == "corner":
        wide, high = max(1, math.floor(w * gain)), max(1, math.floor(h * gain))
    else:
        wide, high = max(1, round(w * gain)), max(1, round(h * gain))
    scaled = _scaled(rgb, min(wide, spec.width), min(high, spec.height), spec)
    down, right = spec.height - scaled.shape[0], spec.width - scaled.shape[1]
    top, left = (0, 0) if spec.align == "corner" else (down // 2, right // 2)
    grey = (spec.pad, spec.pad, spec.pad)
    framed = Image.new("RGB", (spec.width, spec.height), grey)
    framed.paste(Image.fromarray(scaled), (left, top))
    return np.asarray(framed)


def _scaled(rgb: NDArray[np.uint8], width: int, height: int, spec: PreprocessSpec) -> NDArray[np.uint8]:
    how = spec.interpolation
    if (rgb.shape[1], rgb.shape[0]) == (width, height):
        return rgb
    if spec.antialias and how in _FILTERS:
        return np.asarray(Image.fromarray(rgb).resize((width, height), resample=_FILTERS[how]))
    import cv2

    if how == "pyramid":  # halves by area while twice as long, then bilinear
        while rgb.shape[1] // 2 >= width or rgb.shape[0] // 2 >= height:
            half = [n // 2 if n // 2 >= end else n for n, end in zip(rgb.shape[1::-1], (width, height), strict=True)]
            rgb = np.asarray(cv2.resize(rgb, half, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        if (rgb.shape[1], rgb.shape[0]) == (width, height):
            return rgb
        return np.asarray(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
    flags = {
        "area": cv2.INTER_AREA,
        "bicubic": cv2.INTER_CUBIC,
        "bilinear": cv2.INTER_LINEAR,
        "nearest": cv2.INTER_NEAREST_EXACT,
    }
    flag = flags[how]
    return np.asarray(cv2.resize(rgb, (width, height), interpolation=flag), dtype=np.uint8)
