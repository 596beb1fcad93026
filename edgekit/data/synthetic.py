"""Pictures made in code, for a first run and for tests: no download, no licence, the same pixels on every machine.

Only +, -, *, / and square roots of single numbers are used, which IEEE 754 defines to the bit. Sine, exponentials and
sums over arrays are not: their last bit depends on the processor's vector unit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data.sample import Dataset, Sample
from edgekit.errors import UsageError
from edgekit.progress import track
from edgekit.vision.image import Frame

PATTERNS = ("disc", "square", "stripes", "checker", "gradient", "rings")

_Plane = NDArray[np.float32]
_Rng = np.random.Generator


def made_pictures(n: int, seed: int = 0) -> Dataset:
    """`n` pictures of the classes PATTERNS in turn, layout "made".

    Frames are uint8 [h, w, 3] BGR, sides 160 to 640, ratios up to 2:1: one pattern of random colour, size, place and
    angle on a smooth textured background, under uneven light, with sensor-like noise. Picture i depends on `seed`
    and i alone, so the first ten of 64 are the same as ten.

    Raises:
        UsageError: n below 1 or a negative seed.
    """
    if n < 1 or seed < 0:
        raise UsageError("Such pictures cannot be made.", got=f"n={n}, seed={seed}", expected="n >= 1 and seed >= 0")
    samples = []
    for i in track(range(n), "making pictures"):
        label = i % len(PATTERNS)
        frame = _picture(PATTERNS[label], np.random.Generator(np.random.PCG64([seed, i])))
        samples.append(Sample(None, frame, label, f"made-{seed}-{i:04d}-{PATTERNS[label]}"))
    return Dataset(tuple(samples), PATTERNS, "made")


def _picture(pattern: str, rng: _Rng) -> Frame:
    h = int(rng.integers(160, 641))
    w = min(640, max(160, h * int(rng.integers(50, 201)) // 100))
    y, x = np.arange(h, dtype=np.float32)[:, None], np.arange(w, dtype=np.float32)[None, :]
    texture = _clouds(h, w, 3, rng) * np.float32(0.65) + _clouds(h, w, 11, rng) * np.float32(0.35)
    light = (x * _in(rng, -0.5, 0.5) / np.float32(w) + y * _in(rng, -0.5, 0.5) / np.float32(h)) + _in(rng, 0.8, 1.1)
    cover = _mask(pattern, x, y, rng)
    # the two ends of the background and the pattern: any colours, the pattern's brightness apart from the ground's
    dark, bright, own = _colours(rng)
    # one noise for all channels: what JPEG leaves of a sensor's noise is mostly brightness
    noise = _noise(h, w, rng) * _in(rng, 1.0, 5.0) + np.float32(0.5)
    # the pattern is a little transparent to the texture, as painted things are
    painted = cover * light * (np.float32(0.85) + np.float32(0.3) * texture)
    ground = light - cover * light
    lit = ground * texture
    frame = np.empty((h, w, 3), dtype=np.uint8)
    for c in range(3):
        plane = dark[c] * ground + (bright[c] - dark[c]) * lit + own[c] * painted + noise
        frame[..., c] = np.clip(plane, np.float32(0), np.float32(255)).astype(np.uint8)
    return frame


def _mask(pattern: str, x: _Plane, y: _Plane, rng: _Rng) -> _Plane:
    """Coverage 0..1 of the pattern, edges blended over one pixel from the distance to them."""
    h, w = y.shape[0], x.shape[1]
    short = np.float32(min(h, w))
    cx, cy = np.float32(w) * _in(rng, 0.35, 0.65), np.float32(h) * _in(rng, 0.35, 0.65)
    ux, uy = _direction(rng)
    along, across = (x - cx) * ux + (y - cy) * uy, (y - cy) * ux - (x - cx) * uy
    radius = short * _in(rng, 0.18, 0.38)
    period = short * _in(rng, 0.10, 0.25)
    half = np.float32(0.5)
    if pattern == "disc":
        return _inside(radius - np.sqrt(along * along + across * across))
    if pattern == "square":
        return _inside(radius - np.maximum(abs(along), abs(across)))
    if pattern == "stripes":
        return _inside(_wave(along, period))
    if pattern == "checker":
        a, b = _inside(_wave(along, period)), _inside(_wave(across, period))
        return np.asarray(a + b - np.float32(2) * a * b, dtype=np.float32)
    if pattern == "rings":
        return _inside(_wave(np.sqrt(along * along + across * across), period))
    ramp = along / (short * _in(rng, 0.8, 1.4)) + half  # gradient
    return np.asarray(np.clip(ramp, 0, 1), dtype=np.float32)


def _inside(distance: Any) -> _Plane:
    return np.asarray(np.clip(distance + np.float32(0.5), 0, 1), dtype=np.float32)


def _wave(position: Any, period: np.float32) -> _Plane:
    """Signed distance to the nearest edge of bands of half a period each."""
    turn = position / period
    turn = turn - np.floor(turn)
    return np.asarray((np.float32(0.25) - abs(turn - np.float32(0.5))) * period, dtype=np.float32)


def _clouds(h: int, w: int, cells: int, rng: _Rng) -> _Plane:
    """Smooth noise 0..1 [h, w]: random values on a grid of `cells` along the longer side, blended with 3t^2 - 2t^3."""
    step = max(h, w) / cells
    grid = rng.random((int(h / step) + 2, int(w / step) + 2), dtype=np.float32)

    def axis(n: int) -> tuple[NDArray[np.intp], _Plane]:
        at = np.arange(n, dtype=np.float32) / np.float32(step)
        cell = at.astype(np.intp)
        t = at - cell.astype(np.float32)
        return cell, t * t * (np.float32(3) - np.float32(2) * t)

    (iy, ty), (ix, tx) = axis(h), axis(w)
    rows = grid[iy] + (grid[iy + 1] - grid[iy]) * ty[:, None]
    return np.asarray(rows[:, ix] + (rows[:, ix + 1] - rows[:, ix]) * tx[None, :], dtype=np.float32)


def _noise(h: int, w: int, rng: _Rng) -> _Plane:
    """Noise of mean 0 and deviation 1: the sum of a random word's four bytes, nearly normal and exact until here."""
    word = rng.integers(0, 2**32, (h, w), dtype=np.uint32)
    pairs = (word & np.uint32(0xFF00FF)) + ((word >> np.uint32(8)) & np.uint32(0xFF00FF))
    total = (pairs & np.uint32(0xFFFF)) + (pairs >> np.uint32(16))
    return (total.astype(np.float32) - np.float32(510)) / np.float32(147.8)


def _colours(rng: _Rng) -> tuple[_Plane, _Plane, _Plane]:
    """Two ground colours and the pattern's, float32 [3] each, the last at least 70 grey levels from their middle."""
    dark, bright = rng.integers(10, 150, 3), rng.integers(60, 240, 3)
    middle = (int(dark[0] + dark[1] + dark[2]) + int(bright[0] + bright[1] + bright[2])) // 6
    own = rng.integers(5, 251, 3)
    while abs(int(own[0] + own[1] + own[2]) // 3 - middle) < 70:
        own = rng.integers(5, 251, 3)
    return dark.astype(np.float32), bright.astype(np.float32), own.astype(np.float32)


def _direction(rng: _Rng) -> tuple[np.float32, np.float32]:
    """A unit vector, without a sine."""
    while True:
        a, b = _in(rng, -1, 1), _in(rng, -1, 1)
        length = np.sqrt(a * a + b * b)
        if 0.1 < length <= 1:
            return np.float32(a / length), np.float32(b / length)


def _in(rng: _Rng, low: float, high: float) -> np.float32:
    # float32 on both sides: NumPy 1 and 2 disagree on float32 with a Python number
    return np.float32(low) + np.float32(high - low) * np.float32(rng.random(dtype=np.float32))
