"""What a camera does to a picture, in five severities: noise, blur, light, weather, compression.

The kinds and the idea of five severities are those of ImageNet-C (Hendrycks and Dietterich 2019); sizes are shares of
the shorter side, so that a large picture suffers as much as a small one once the net has shrunk it.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgekit.data import Sample
from edgekit.errors import UsageError
from edgekit.vision.image import Frame, check_frame

SEVERITIES = (1, 2, 3, 4, 5)
_Floats = NDArray[np.float32]
_Rng = np.random.Generator


def corrupt(frame: Frame, kind: str, severity: int, seed: int = 0) -> Frame:
    """A corrupted copy of uint8 [h, w, 3] BGR; the same one every time for the same arguments.

    Args:
        kind: a name of CORRUPTIONS.
        severity: 1 to 5.

    Raises:
        UsageError: another kind or severity.
    """
    if kind not in CORRUPTIONS or severity not in SEVERITIES:
        raise UsageError(
            "There is no such corruption.",
            got=f"{kind} {severity}",
            expected="one of " + ", ".join(CORRUPTIONS) + ", severity 1 to 5",
        )
    check_frame(frame)
    rng = np.random.Generator(np.random.PCG64([seed, zlib.crc32(kind.encode()), severity]))
    return CORRUPTIONS[kind](frame, severity - 1, rng)


def _noise(frame: Frame, level: int, rng: _Rng) -> Frame:
    """Sensor noise in the dark: gaussian, plus a part that grows with the light (shot noise)."""
    read = (8, 14, 22, 34, 50)[level] * _grain(frame)
    light = frame.astype(np.float32)
    spread = np.sqrt(read**2 + light * (read / 6))
    return _bytes(light + rng.standard_normal(frame.shape, dtype=np.float32) * spread)


def _defocus(frame: Frame, level: int, _: _Rng) -> Frame:
    import cv2

    radius = max(1.0, (0.009, 0.014, 0.02, 0.028, 0.038)[level] * _side(frame))
    reach = int(np.ceil(radius))
    y, x = np.ogrid[-reach : reach + 1, -reach : reach + 1]
    disc = np.clip(radius + 0.5 - np.sqrt(x * x + y * y), 0, 1).astype(np.float32)
    return np.asarray(cv2.filter2D(frame, -1, disc / disc.sum(), borderType=cv2.BORDER_REFLECT_101), dtype=np.uint8)


def _motion(frame: Frame, level: int, rng: _Rng) -> Frame:
    import cv2

    long = max(2.0, (0.03, 0.05, 0.075, 0.105, 0.14)[level] * _side(frame))
    angle = rng.uniform(0, np.pi)
    reach = int(np.ceil(long / 2))
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), dtype=np.float32)
    for at in np.linspace(-long / 2, long / 2, 4 * reach + 1):
        kernel[round(reach + at * np.sin(angle)), round(reach + at * np.cos(angle))] += 1
    return np.asarray(cv2.filter2D(frame, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REFLECT_101), dtype=np.uint8)


def _brightness(frame: Frame, level: int, _: _Rng) -> Frame:
    """Overexposed: lifted, and clipped at white."""
    return _bytes(frame.astype(np.float32) + (26, 51, 77, 102, 128)[level])


def _contrast(frame: Frame, level: int, _: _Rng) -> Frame:
    light = frame.astype(np.float32)
    mean = light.mean(axis=(0, 1), keepdims=True)
    return _bytes((light - mean) * (0.6, 0.45, 0.32, 0.2, 0.1)[level] + mean)


def _fog(frame: Frame, level: int, rng: _Rng) -> Frame:
    """A bright veil, thicker here and thinner there."""
    h, w = frame.shape[:2]
    veil = np.zeros((h, w), dtype=np.float32)
    for octave, share in ((2, 0.5), (4, 0.3), (8, 0.2)):
        cells = rng.random((octave + 1, octave + 1), dtype=np.float32)
        grown = Image.fromarray(cells).resize((w, h), Image.Resampling.BICUBIC)
        veil += np.asarray(grown, dtype=np.float32) * np.float32(share)
    thick = np.clip((0.25, 0.38, 0.5, 0.62, 0.74)[level] * (0.6 + 0.8 * veil), 0, 0.95)[..., None]
    return _bytes(frame * (1 - thick) + 225 * thick)


def _jpeg(frame: Frame, level: int, _: _Rng) -> Frame:
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(frame[..., ::-1])).save(stream, "JPEG", quality=(25, 18, 12, 8, 5)[level])
    return np.ascontiguousarray(np.asarray(Image.open(stream).convert("RGB"))[..., ::-1])


def _pixelate(frame: Frame, level: int, _: _Rng) -> Frame:
    """Taken with too few pixels, as a digital zoom does: so many on the shorter side."""
    h, w = frame.shape[:2]
    scale = min(1.0, (130, 100, 74, 54, 38)[level] / _side(frame))
    small = (max(1, round(w * scale)), max(1, round(h * scale)))
    picture = Image.fromarray(np.ascontiguousarray(frame)).resize(small, Image.Resampling.BOX)
    return np.asarray(picture.resize((w, h), Image.Resampling.NEAREST)).copy()


CORRUPTIONS: dict[str, Callable[[Frame, int, _Rng], Frame]] = {
    "noise": _noise,
    "defocus": _defocus,
    "motion blur": _motion,
    "brightness": _brightness,
    "contrast": _contrast,
    "fog": _fog,
    "jpeg": _jpeg,
    "pixelate": _pixelate,
}


@dataclass(frozen=True, eq=False)
class Corrupted(Sample):
    """A sample that is corrupted when it is read. Boxes and masks stay where they are: nothing here moves a pixel."""

    kind: str = "noise"
    severity: int = 1
    seed: int = 0

    def read(self) -> Frame:
        return corrupt(super().read(), self.kind, self.severity, self.seed)


def corrupted(sample: Sample, kind: str, severity: int, seed: int) -> Corrupted:
    """`sample`, corrupted when read."""
    known = {one.name: getattr(sample, one.name) for one in fields(Sample)}
    return Corrupted(**known, kind=kind, severity=severity, seed=seed)


def _side(frame: Frame) -> int:
    return int(min(frame.shape[:2]))


def _grain(frame: Frame) -> float:
    """How much stronger noise a pixel of a large picture takes to leave as much after the shrinking to about 256."""
    return max(1.0, _side(frame) / 256)


def _bytes(values: NDArray[np.floating]) -> Frame:
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)
