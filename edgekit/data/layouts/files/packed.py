"""Masks that label files hold within: a PNG in base64, and Label Studio's packed runs."""

from __future__ import annotations

import base64
import binascii
import io
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgekit.vision.image import BROKEN

MOST = 32 << 20  # pixels of a mask


def png_mask(text: str, *, deflated: bool = False) -> NDArray[np.bool_] | None:
    """bool [h, w] of a base64 PNG: what is neither black nor transparent; None for what is no such PNG.

    Args:
        deflated: whether the PNG is packed once more, by zlib.
    """
    try:
        data = base64.b64decode(text)
        if deflated:
            data = zlib.decompressobj().decompress(data, 4 * MOST)
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            if image.width * image.height > MOST:
                return None
            values = np.asarray(image.convert("RGBA"))
    except (ValueError, TypeError, zlib.error, binascii.Error, *BROKEN):
        return None
    return np.asarray((values[..., :3].max(-1) > 0) & (values[..., 3] > 0))


def placed(part: NDArray[np.bool_], x: int, y: int, size: tuple[float, float] | None) -> NDArray[np.bool_] | None:
    """bool [h, w] with a part whose left upper pixel lies at x and y; None where it does not lie in it.

    Args:
        size: width and height as a file states them; None, and numbers that no picture has, give None.
    """
    if size is None or not (min(size) >= 1 and size[0] * size[1] <= MOST):
        return None
    width, height = int(size[0]), int(size[1])
    if min(x, y) < 0 or y + part.shape[0] > height or x + part.shape[1] > width:
        return None
    whole = np.zeros((height, width), np.bool_)
    whole[y : y + part.shape[0], x : x + part.shape[1]] = part
    return whole


def brushed(packed: Sequence[int], height: int, width: int) -> NDArray[np.bool_] | None:
    """bool [height, width] of Label Studio's brush: where the alpha of its packed RGBA is above 0; None if it is none.

    The bits of `packed`: 32 of the number of values, 5 of a value's bits less 1, four times 4 of the bits of a count
    less 1; then, until there are as many values: 1 whether one value is repeated, 2 of which size of count follows, the
    count less 1, and that value or as many values (thi.ng's rle-pack).
    """
    if not 0 < height * width <= MOST:
        return None
    try:
        bits = "".join(f"{byte:08b}" for byte in bytes(packed))
    except (ValueError, TypeError):
        return None
    at = 0

    def read(size: int) -> int:
        nonlocal at
        at += size
        if at > len(bits):
            raise EOFError
        return int(bits[at - size : at], 2)

    try:
        count, size = read(32), read(5) + 1
        sizes = [read(4) + 1 for _ in range(4)]
        if count != 4 * height * width or size > 8:
            return None
        values, done = np.zeros(count, np.uint8), 0
        while done < count:
            repeated = read(1)
            end = done + 1 + read(sizes[read(2)])
            values[done:end] = read(size) if repeated else [read(size) for _ in range(min(end, count) - done)]
            done = end
    except EOFError:
        return None
    return np.asarray(values.reshape(height, width, 4)[..., 3] > 0)
