"""Pictures as the page shows them: upright, no larger than a screen, kept for when they are asked for again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np

from edgekit.vision.image import check_passes, frame_of, open_picture

SIZES = (1600, 4096)  # pixels of the longer side: as it is opened, and to look closer
_KEPT = 64_000_000  # bytes
_QUALITY = 88  # for eyes; no model sees these


class Pictures:
    """Makes JPEGs of pictures, and keeps the last ones. From any thread."""

    def __init__(self, kept: int = _KEPT) -> None:
        self._most, self._held = kept, 0
        self._kept: OrderedDict[tuple[Path, int, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def jpeg(self, path: Path, longest: int) -> bytes:
        """The picture, upright, with sides of at most `longest` pixels. Raises PictureError."""
        try:
            key = (path, path.stat().st_mtime_ns, longest)
        except OSError:
            key = (path, 0, longest)  # and `shown` says why not
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        data = shown(path, longest)
        with self._lock:
            if key not in self._kept:
                self._kept[key], self._held = data, self._held + len(data)
            while self._held > self._most and len(self._kept) > 1:
                self._held -= len(self._kept.popitem(last=False)[1])
        return data


def shown(path: Path, longest: int) -> bytes:
    """A JPEG of the upright picture, with sides of at most `longest` pixels.

    A larger JPEG is decoded at a half, a quarter or an eighth (libjpeg's scaled inverse DCT) before it is resized: 12
    megapixels take a third of the time.

    Raises:
        PictureError: it cannot be read.
    """
    import cv2

    with open_picture(path) as image:
        check_passes(image, path)
        image.draft(image.mode, _within(image.size, longest))  # of a JPEG; the others stay as they are
        frame = frame_of(image)
    if max(frame.shape[:2]) > longest:
        size = _within((frame.shape[1], frame.shape[0]), longest)
        frame = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)
    good, data = cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    assert good, "a JPEG holds sides of up to 65500 pixels, and these are shorter"
    return bytes(data)


def _within(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """Width and height of what fits, in the same shape."""
    scale = min(1.0, longest / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
