"""A small canvas on which insects are drawn: round bodies, strokes, hair and see-through outlines, in body lengths.

x runs from the tail at -0.5 to the head at 0.5. Everything is drawn at twice the finest size that is used, and kept in
four sizes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
Window = tuple[slice, slice]

_DRAWN = 192  # pixels a body length while drawing; the finest level has half of it
_REACH = 1.0  # the canvas spans -1 to 1
_SIZE = int(2 * _REACH * _DRAWN)
_LEVELS = 4


@dataclass(frozen=True)
class Level:
    """One size of a sprite, cut to what is drawn.

    Attributes:
        bgra: float32 [h, w, 4], colours 0..255 times alpha, alpha 0..1.
        relief: float32 [h, w, 2], x and y of the surface's normal.
        unit: pixels in a body length.
        origin: x, y of the body's middle in pixels.
    """

    bgra: Plane
    relief: Plane
    unit: float
    origin: tuple[float, float]


class Canvas:
    """A square to draw one insect on: colour with alpha, and the slope of its surface for the light."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.bgra = np.zeros((_SIZE, _SIZE, 4), np.float32)
        self.relief = np.zeros((_SIZE, _SIZE, 2), np.float32)
        axis = (np.arange(_SIZE, dtype=np.float32) + np.float32(0.5)) / np.float32(_DRAWN) - np.float32(_REACH)
        self.x, self.y = axis[None, :], axis[:, None]

    def over(self, alpha: Plane, colour: Any, window: Window, relief: Plane | None = None) -> None:
        """Lays `alpha` [h, w] of one colour, or of BGR [h, w, 3], over the part of the canvas in `window`."""
        keep = np.float32(1) - alpha[..., None]
        bgra, normals = self.bgra[window], self.relief[window]
        bgra *= keep
        bgra[..., :3] += alpha[..., None] * np.asarray(colour, np.float32)
        bgra[..., 3] += alpha
        normals *= keep
        if relief is not None:
            normals += alpha[..., None] * relief

    def strokes(self, lines: Sequence[Any], width: float, colour: Any, opacity: float = 1.0) -> None:
        """Round-ended lines of the given width, each a list of x, y."""
        import cv2

        mask, thick = np.zeros((_SIZE, _SIZE), np.uint8), max(1, round(width * _DRAWN))
        for line in lines:
            cv2.polylines(mask, [_pixels(line)], False, 255, thick, cv2.LINE_AA, 4)
        window = _window(np.concatenate([np.asarray(line, np.float64) for line in lines]), width)
        self.over(mask[window].astype(np.float32) * np.float32(opacity / 255), colour, window)

    def polygons(self, shapes: Sequence[Any], colour: Any, opacity: float) -> None:
        """Filled outlines; where several lie over each other the opacity is their share (a wing's beat)."""
        import cv2

        window = _window(np.concatenate(list(shapes)), 0.02)
        total = np.zeros(self.bgra[window].shape[:2], np.float32)
        for shape in shapes:
            mask = np.zeros((_SIZE, _SIZE), np.uint8)
            cv2.fillPoly(mask, [_pixels(shape)], 255, cv2.LINE_AA, 4)
            total += mask[window]
        self.over(np.minimum(total * np.float32(opacity / 255 / len(shapes)), np.float32(1)), colour, window)

    def body(self, front: tuple[float, float], back: tuple[float, float], profile: Sequence[float], width: float,
             colour: Callable[[Plane, Plane], Plane], bend: float = 0.0) -> None:  # fmt: skip
        """A solid of revolution from `front` to `back`: `profile` gives its half width along it, 1 being `width`.

        `colour(t, v)` gives BGR [h, w, 3] from t along (0 front) and v across (-1..1).
        """
        (ax, ay), (bx, by) = front, back
        length = math.hypot(bx - ax, by - ay)
        ux, uy = np.float32((bx - ax) / length), np.float32((by - ay) / length)
        window = _window(np.array([front, back]), width + bend + 0.01)
        x, y = self.x[:, window[1]] - np.float32(ax), self.y[window[0]] - np.float32(ay)
        along = (x * ux + y * uy) / np.float32(length)
        across = y * ux - x * uy
        t = np.asarray(np.clip(along, 0, 1), np.float32)
        across = across + np.float32(math.copysign(bend, -float(ux))) * t * t  # towards the feet, whichever way it runs
        half = np.float32(width) * np.interp(t, np.linspace(0, 1, len(profile)), profile).astype(np.float32)
        beyond = np.abs(along - t) * np.float32(length)
        edge = (half - np.abs(across) - beyond) * np.float32(_DRAWN) + np.float32(0.5)
        alpha = np.where(half > np.float32(0.004), np.clip(edge, 0, 1), np.float32(0))
        v = np.asarray(np.clip(across / np.maximum(half, np.float32(1e-3)), -1, 1), np.float32)
        # round ends: the surface falls away at both ends as it does at the sides
        w = (t * np.float32(2) - np.float32(1)) ** 3
        fall = np.float32(1) - v * v * np.float32(0.92) - w * w * np.float32(0.5)
        height = np.sqrt(np.clip(fall, np.float32(0.04), np.float32(1)))
        shaded = colour(t, v) * (np.float32(0.42) + np.float32(0.58) * height)[..., None]
        gloss = np.clip(height - np.float32(0.93), 0, 1) * np.float32(260)
        relief = np.stack([w * ux - v * uy, w * uy + v * ux], axis=-1)
        self.over(np.asarray(alpha, np.float32), shaded + gloss[..., None], window, relief)

    def fur(self, centre: tuple[float, float], radii: tuple[float, float], n: int, length: float, colour: Any) -> None:
        """Short hairs pointing outwards and back, in three tones."""
        angle = self.rng.uniform(0, 2 * math.pi, n)
        reach = np.sqrt(self.rng.uniform(0.1, 1.05, n))
        x, y = centre[0] + radii[0] * reach * np.cos(angle), centre[1] + radii[1] * reach * np.sin(angle)
        dx = np.cos(angle) * reach * length - length * 0.5
        dy = np.sin(angle) * reach * length
        hairs = np.stack([np.stack([x, y], -1), np.stack([x + dx, y + dy], -1)], 1)
        for part, tone in ((0, 0.6), (1, 0.9), (2, 1.15)):
            self.strokes(list(hairs[part::3]), 0.012, np.multiply(colour, tone), 0.55)

    def levels(self) -> tuple[Level, ...]:
        import cv2

        rows, columns = np.nonzero(self.bgra[..., 3].max(1) > 0)[0], np.nonzero(self.bgra[..., 3].max(0) > 0)[0]
        step = 2**_LEVELS
        top, left = max(0, int(rows[0]) - 2 * step) // step * step, max(0, int(columns[0]) - 2 * step) // step * step
        bottom, right = (
            min(_SIZE, (int(rows[-1]) // step + 3) * step),
            min(_SIZE, (int(columns[-1]) // step + 3) * step),
        )
        made = []
        for level in range(1, _LEVELS + 1):
            unit = _DRAWN / 2**level
            size = ((right - left) >> level, (bottom - top) >> level)
            cut = [cv2.resize(a[top:bottom, left:right], size, interpolation=cv2.INTER_AREA) for a in
                   (self.bgra, self.relief)]  # fmt: skip
            origin = (_REACH * unit - left / 2**level, _REACH * unit - top / 2**level)
            made.append(Level(np.ascontiguousarray(cut[0]), np.ascontiguousarray(cut[1]), unit, origin))
        return tuple(made)


def mix(a: Any, b: Any, share: Plane) -> Plane:
    first, second = np.asarray(a, np.float32), np.asarray(b, np.float32)
    return np.asarray(first + (second - first) * share[..., None], np.float32)


def smooth_step(value: Plane, low: float, high: float) -> Plane:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((value - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def ring(centre: tuple[float, float], rx: float, ry: float) -> Any:
    turn = np.linspace(0, 2 * math.pi, 20, endpoint=False)
    return np.stack([centre[0] + rx * np.cos(turn), centre[1] + ry * np.sin(turn)], -1)


def _window(points: Any, margin: float) -> Window:
    """The part of the canvas that holds x, y [n, 2] and `margin` around them."""
    low = np.floor((points.min(0) - margin + _REACH) * _DRAWN).astype(int).clip(0, _SIZE - 1).tolist()
    high = np.ceil((points.max(0) + margin + _REACH) * _DRAWN).astype(int).clip(1, _SIZE).tolist()
    return slice(low[1], high[1]), slice(low[0], high[0])


def _pixels(points: Any) -> NDArray[np.int32]:
    """To OpenCV's fixed point with four fractional bits."""
    return np.rint((np.asarray(points, np.float64) + _REACH) * _DRAWN * 16 - 8).astype(np.int32)
