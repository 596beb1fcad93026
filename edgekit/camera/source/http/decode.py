"""A camera's encoded picture to a frame; one that is not whole is none."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from edgekit.camera.source.opencv import quiet_cv2
from edgekit.errors import PictureError
from edgekit.reading.limits import CLIP_PICTURE
from edgekit.vision.image import BROKEN, Frame, frame_of, within_limits

MAGIC = {b"\xff\xd8\xff": "JPEG", b"\x89PNG": "PNG", b"RIFF": "WEBP", b"BM": "BMP", b"GIF8": "GIF"}


def is_picture(data: bytes | bytearray) -> bool:
    """Whether bytes begin as a picture does."""
    return data.startswith(tuple(MAGIC))


def jpeg(data: bytes, whole: bool) -> Frame | None:
    """The frame of a JPEG, uint8 [h, w, 3] BGR; None where it is broken or over the limits (docs/limits.md).

    Without its end marker (not `whole`) it may still hold every row, as some cameras send it. Decoders paint what is
    missing and say nothing; but where nothing is missing, bytes that follow change nothing.
    """
    if not within_limits(data):
        return None
    if whole:
        return _decoded(data)
    with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
        if image.info.get("progressive"):  # each pass has every row
            return None
    first, second = (_decoded(data + filling * 2048 + b"\xff\xd9") for filling in (b"\x55", b"\xaa"))
    return first if first is not None and second is not None and np.array_equal(first, second) else None


def _decoded(data: bytes) -> Frame | None:
    cv2 = quiet_cv2()
    try:
        frame = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error:
        return None
    return None if frame is None else np.asarray(frame)


def strictly(data: bytes) -> Frame | None:
    """The frame of a JPEG, PNG, WebP, BMP or GIF that holds every row; None of any other, or over the limits."""
    if len(data) > CLIP_PICTURE or (data.startswith(b"\xff\xd8\xff") and not within_limits(data)):
        return None
    try:
        with Image.open(io.BytesIO(data), formats=tuple(MAGIC.values())) as image:
            return frame_of(image)
    except (PictureError, *BROKEN):
        return None
