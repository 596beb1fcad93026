"""Masks as files: a PNG whose values are class indices, in a palette so that people see something too."""

from __future__ import annotations

import colorsys
import io
import os
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgekit.errors import PictureError
from edgekit.vision.image import BROKEN, open_picture

NO_CLASS, NO_CLASS_16 = 255, 65535  # what a file has where a mask has no class
JPEGS = ("JPEG", "MPO")
_NEAR = 48  # how far a JPEG takes black and white, of 255, beside edges
_GREYS, _FLAT = 0.25, 0.7  # shares: of pixels that may be greyer, and of black and white ones that must be quite so
_GOLDEN = 0.618033988749895  # of a turn: neighbours in the list are far apart in hue, however many there are


@cache
def colour_of(index: int) -> tuple[int, int, int]:
    """The colour of a class, R G B, the same in every picture."""
    hue, ring = (0.58 + index * _GOLDEN) % 1.0, index // 6 % 3
    r, g, b = colorsys.hsv_to_rgb(hue, (0.85, 0.55, 0.95)[ring], (0.95, 0.9, 0.6)[ring])
    return round(255 * r), round(255 * g), round(255 * b)


def mask_png(mask: NDArray[np.int16]) -> bytes:
    """The bytes of a PNG of int [h, w] class indices, -1 for none.

    With a palette, 8 bits and 255 for none where no index is above 254; else 16 bits of grey and 65535 for none.
    """
    stream = io.BytesIO()
    if int(mask.max(initial=0)) < NO_CLASS:
        picture = Image.fromarray(np.where(mask < 0, NO_CLASS, mask).astype(np.uint8))
        picture.putpalette([value for i in range(NO_CLASS) for value in colour_of(i)] + [0, 0, 0])
    else:
        picture = Image.fromarray(np.where(mask < 0, NO_CLASS_16, mask).astype(np.uint16))
    picture.save(stream, "PNG", compress_level=4)
    return stream.getvalue()


def read_colours(path: str | os.PathLike[str], *, palette: bool = True) -> NDArray[np.uint32]:
    """The colours of a mask's file, uint32 [h, w], red x 65536 + green x 256 + blue.

    Args:
        path: as for `read_values`.
        palette: look the numbers of a palette up; else they stand as greys.

    Raises:
        PictureError: as `read_picture`; a JPEG.
    """
    path = Path(path)
    with open_picture(path) as image:
        try:
            if image.format in JPEGS:
                raise PictureError(f"{path} is no mask.", got="a JPEG, whose colours are blurred", expected="a PNG")
            grey = image.mode in ("P", "PA") and not palette
            rgb = np.asarray(image.getchannel(0) if grey else image.convert("RGB")).astype(np.uint32)
        except BROKEN as error:
            raise PictureError(f"{path} cannot be read.", got=f"broken or cut off: {error}") from error
    rgb = rgb[..., None].repeat(3, -1) if rgb.ndim == 2 else rgb
    return np.asarray(rgb[..., 0] << 16 | rgb[..., 1] << 8 | rgb[..., 2])


def read_values(path: str | os.PathLike[str]) -> NDArray[np.uint16]:
    """The numbers of a mask's file, uint16 [h, w], as they are stored: palettes are not looked up, nothing is turned.

    PNG, TIFF, BMP, GIF, PPM and WebP are read; a colour picture only where its three channels are equal, 1-bit as 0 and
    1. A JPEG's numbers are those of its neighbours too, so it is no mask, but one of black and white is cut at 128.

    Raises:
        PictureError: as `read_picture`; a JPEG, or a picture in colours.
    """
    path = Path(path)
    with open_picture(path) as image:
        try:
            image.load()
            values = np.asarray(image)
        except BROKEN as error:
            raise PictureError(f"{path} cannot be read.", got=f"broken or cut off: {error}") from error
        lossy, mode = image.format in JPEGS, image.mode
    if values.ndim == 3 and mode in ("LA", "PA"):
        values = values[..., 0]
    if lossy and (cut := _black_and_white(values)) is not None:
        return cut
    grey = values.ndim == 2 or ((values[..., 0] == values[..., 1]).all() and (values[..., 0] == values[..., 2]).all())
    if lossy or not grey or values.dtype.kind == "f" or values.min() < 0 or values.max() > NO_CLASS_16:
        raise PictureError(
            f"{path} is no mask.",
            got="a JPEG, whose numbers are blurred" if lossy else f"a picture of mode {mode}",
            expected="a PNG of class numbers, in grey or with a palette",
            fix="write class numbers without loss, as PNG",
        )
    return np.asarray(values if values.ndim == 2 else values[..., 0]).astype(np.uint16)


def _black_and_white(values: NDArray[np.uint8]) -> NDArray[np.uint16] | None:
    """uint16 [h, w], 0 and 255, of a JPEG that was black and white, else None."""
    grey = values if values.ndim == 2 else values.astype(np.uint16).mean(-1)
    if values.ndim == 3 and int(np.ptp(values.astype(np.int16), axis=-1).max()) > _NEAR:
        return None
    black, white = grey[grey <= _NEAR], grey[grey >= 255 - _NEAR]
    if len(black) + len(white) < (1 - _GREYS) * grey.size or (not len(white) and black.any()):
        return None
    flat = all(
        not len(part) or (np.abs(part - end) <= 2).mean() >= _FLAT for part, end in ((black, 0.0), (white, 255.0))
    )
    return np.where(grey >= 128, 255, 0).astype(np.uint16) if flat else None
