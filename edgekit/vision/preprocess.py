"""The one way from a frame to the numbers a net takes, in evaluation, calibration, verification, bench and camera.

Antialiased bilinear and bicubic go through Pillow, which is what torchvision trains with, so the pixels are equal bit
for bit. The others are OpenCV's, imported only when one of them is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from edgekit.errors import PictureError
from edgekit.vision.image import Frame, check_frame
from edgekit.vision.spec import PreprocessSpec

# A 1 x 100000 picture with shorter side 256 would become 256 x 25.6 million pixels. 192 MB is where this stops.
MAX_RESIZED_PIXELS = 2**26

_Floats = NDArray[np.float64]
_PILLOW = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@dataclass(frozen=True)
class Geometry:
    """Where a frame's pixels lie in the net's input: `net = frame * scale + offset`, per axis.

    Coordinates are continuous: the first pixel spans 0 to 1 and its centre is 0.5, the convention of both
    resizers. Offsets are net pixels, negative where a crop cuts. Scales are exact, from the rounded size.
    """

    scale_x: float
    scale_y: float
    offset_x: float
    offset_y: float

    def to_net(self, points: ArrayLike) -> _Floats:
        """Frame pixels to net pixels; float64 [..., 2k] of x, y pairs (points, or boxes x1 y1 x2 y2)."""
        xy, scale, offset = self._aligned(points)
        return xy * scale + offset

    def to_frame(self, points: ArrayLike) -> _Floats:
        """Inverse of `to_net`. Nothing is clipped to the frame."""
        xy, scale, offset = self._aligned(points)
        return (xy - offset) / scale

    def _aligned(self, points: ArrayLike) -> tuple[_Floats, _Floats, _Floats]:
        xy = np.asarray(points, dtype=np.float64)
        if xy.ndim == 0 or xy.shape[-1] % 2:
            raise ValueError(f"points must be [..., 2k] pairs of x and y, not {list(xy.shape)}")
        pairs = xy.shape[-1] // 2
        return (
            xy,
            np.tile((self.scale_x, self.scale_y), pairs),
            np.tile((self.offset_x, self.offset_y), pairs),
        )


def geometry(frame_shape: tuple[int, ...], spec: PreprocessSpec) -> Geometry:
    """How `preprocess` places a frame of shape (h, w, ...) under `spec`, for any of its policies.

    Raises:
        PictureError: an empty frame, or one too thin to be resized (see `preprocess`).
    """
    if len(frame_shape) < 2 or min(frame_shape[:2]) < 1:
        raise PictureError("This frame has no pixels.", got=str(list(frame_shape)), expected="[height, width, ...]")
    h, w = frame_shape[:2]
    height, width, top, left = _place(h, w, spec)
    return Geometry(width / w, height / h, float(left), float(top))


def preprocess(frame: Frame, spec: PreprocessSpec) -> Frame:
    """The net's picture: uint8 [spec.height, spec.width, 3] BGR, contiguous, never a view of `frame`.

    Args:
        frame: uint8 [h, w, 3] BGR, any size, strides allowed.

    Raises:
        PictureError: not such a frame, or one so thin that its resized form exceeds MAX_RESIZED_PIXELS.
    """
    check_frame(frame)
    height, width, top, left = _place(frame.shape[0], frame.shape[1], spec)
    resized = _resize(frame, height, width, spec)
    if spec.resize == "letterbox":
        canvas = np.full((spec.height, spec.width, 3), spec.pad, dtype=np.uint8)
        canvas[top : top + height, left : left + width] = resized
        return canvas
    crop = resized[-top : spec.height - top, -left : spec.width - left]
    return np.array(crop, order="C", copy=True)


def normalise(batch: Frame, spec: PreprocessSpec) -> NDArray[np.float32]:
    """float32 [N, 3, H, W], contiguous, in the net's channel order: (x / 255 - mean) / std.

    The operations and their order are those of torchvision's ToTensor and Normalize, in float32.

    Args:
        batch: uint8 [N, H, W, 3] BGR, as `preprocess` gives it.

    Raises:
        PictureError: not such a batch.
    """
    if not isinstance(batch, np.ndarray) or batch.dtype != np.uint8 or batch.ndim != 4 or batch.shape[3] != 3:
        got = f"{batch.dtype} {list(batch.shape)}" if isinstance(batch, np.ndarray) else type(batch).__name__
        raise PictureError("This is not a batch of frames.", got=got, expected="uint8 [N, height, width, 3]")
    ordered = batch[..., ::-1] if spec.color == "rgb" else batch
    # bytes are put in order first: moving floats costs four times as much memory traffic
    x = np.ascontiguousarray(ordered.transpose(0, 3, 1, 2)).astype(np.float32)
    x /= np.float32(255)
    x -= np.asarray(spec.mean, dtype=np.float32)[:, None, None]
    x /= np.asarray(spec.std, dtype=np.float32)[:, None, None]
    return x


def _place(h: int, w: int, spec: PreprocessSpec) -> tuple[int, int, int, int]:
    """(height, width) of the resized frame and (top, left) of its corner in the net's input."""
    if spec.resize == "stretch":
        return spec.height, spec.width, 0, 0
    if spec.resize == "letterbox":
        ratio = min(spec.height / h, spec.width / w)
        if spec.align == "corner":
            return max(1, int(h * ratio)), max(1, int(w * ratio)), 0, 0
        height = min(spec.height, max(1, round(h * ratio)))
        width = min(spec.width, max(1, round(w * ratio)))
        return height, width, (spec.height - height) // 2, (spec.width - width) // 2
    assert spec.shorter_side is not None  # PreprocessSpec holds this
    longer = int(spec.shorter_side * max(h, w) / min(h, w))  # torchvision: _compute_resized_output_size
    if spec.shorter_side * longer > MAX_RESIZED_PIXELS:
        raise PictureError(
            "The frame is too thin to be resized by its shorter side.",
            got=f"{w} x {h}, which would become {spec.shorter_side} x {longer} pixels",
            expected=f"at most {MAX_RESIZED_PIXELS} pixels after the resize",
            fix="cut the picture, or use resize = 'letterbox'",
        )
    height, width = (spec.shorter_side, longer) if h <= w else (longer, spec.shorter_side)
    # torchvision: center_crop; round() takes .5 to the even neighbour and so do they
    return height, width, -round((height - spec.height) / 2.0), -round((width - spec.width) / 2.0)


def _resize(frame: Frame, height: int, width: int, spec: PreprocessSpec) -> Frame:
    if frame.shape[:2] == (height, width):
        return frame
    frame = np.ascontiguousarray(frame)
    if spec.antialias and spec.interpolation in _PILLOW:
        # Pillow treats the channels alike, so BGR can pass as RGB
        resized = Image.fromarray(frame).resize((width, height), _PILLOW[spec.interpolation])
        return np.asarray(resized)
    import cv2

    if spec.interpolation == "pyramid":
        while frame.shape[0] >= 2 * height or frame.shape[1] >= 2 * width:
            size = tuple(
                n // 2 if n >= 2 * end else n for n, end in ((frame.shape[1], width), (frame.shape[0], height))
            )
            frame = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        if frame.shape[:2] == (height, width):
            return frame
    method = {
        "nearest": cv2.INTER_NEAREST_EXACT,  # INTER_NEAREST takes the pixel left of the centre, kept as a bug
        "bilinear": cv2.INTER_LINEAR,
        "bicubic": cv2.INTER_CUBIC,
        "area": cv2.INTER_AREA,
        "pyramid": cv2.INTER_LINEAR,
    }[spec.interpolation]
    return np.asarray(cv2.resize(frame, (width, height), interpolation=method), dtype=np.uint8)
