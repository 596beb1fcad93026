"""A mask that is drawn when it is read: outlines or runs of pixels, as label files have them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Outline:
    """An object's pixels: inside any of `rings` (x y x y .. in pixels, at least three points) and none of `holes`, or
    by COCO's `runs`.

    `runs` are lengths down the columns of a mask of `shape` (height, width), 0 first and 1 in turn.
    """

    rings: tuple[tuple[float, ...], ...] = ()
    runs: tuple[int, ...] = ()
    shape: tuple[int, int] = (0, 0)
    holes: tuple[tuple[float, ...], ...] = ()

    @classmethod
    def of_mask(cls, mask: NDArray[np.bool_]) -> Outline:
        """The runs of bool [h, w]."""
        flat = np.concatenate([[False], mask.T.reshape(-1)])
        ends = np.append(np.flatnonzero(flat[1:] != flat[:-1]), mask.size)
        runs = np.diff(np.concatenate([[0], ends]))
        return cls(runs=tuple(int(v) for v in runs), shape=(mask.shape[0], mask.shape[1]))

    @classmethod
    def even_odd(cls, rings: Sequence[tuple[float, ...]]) -> Outline:
        """What an odd number of the rings go around: a ring inside another is a hole, and one inside that is none."""
        points = [np.reshape(ring, (-1, 2)) for ring in rings]
        depth = [sum(_goes_around(other, p[0]) for other in points if other is not p) for p in points]
        outer = tuple(ring for ring, d in zip(rings, depth, strict=True) if d % 2 == 0)
        return cls(outer, holes=tuple(ring for ring, d in zip(rings, depth, strict=True) if d % 2))

    def scaled(self, x: float, y: float) -> Outline:
        """Its rings with x and y times these factors."""
        return self.moved(lambda ring: tuple(v * (x, y)[i % 2] for i, v in enumerate(ring)))

    def moved(self, way: Callable[[tuple[float, ...]], tuple[float, ...]]) -> Outline:
        """Its rings, and its holes, each as `way` gives it."""
        return replace(self, rings=tuple(map(way, self.rings)), holes=tuple(map(way, self.holes)))

    def inside(self, height: int, width: int) -> NDArray[np.bool_]:
        """bool [height, width]: the pixels whose centres are inside; for runs of another size, resized to it."""
        if self.runs:
            own = np.repeat(np.arange(len(self.runs)) % 2 == 1, self.runs).reshape(self.shape[::-1]).T
            if own.shape == (height, width):
                return own
            rows = np.minimum((np.arange(height) + 0.5) * own.shape[0] / height, own.shape[0] - 1).astype(int)
            columns = np.minimum((np.arange(width) + 0.5) * own.shape[1] / width, own.shape[1] - 1).astype(int)
            return np.asarray(own[np.ix_(rows, columns)])
        found = np.zeros((height, width), np.bool_)
        for ring in self.rings:
            _fill(found, np.reshape(ring, (-1, 2)))
        if self.holes:
            hollow = np.zeros_like(found)
            for ring in self.holes:
                _fill(hollow, np.reshape(ring, (-1, 2)))
            found &= ~hollow
        return found


def box_of_pixels(mask: NDArray[np.bool_]) -> tuple[float, float, float, float] | None:
    """x1 y1 x2 y2 around the pixels of bool [h, w]; None where there are none."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def _goes_around(ring: NDArray[np.float64], point: NDArray[np.float64]) -> bool:
    x1, y1 = ring.T
    x2, y2 = np.roll(ring, -1, axis=0).T
    crossed = (y1 <= point[1]) != (y2 <= point[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        at = x1 + (point[1] - y1) * (x2 - x1) / (y2 - y1)
    return bool((crossed & (at > point[0])).sum() % 2)


def _fill(found: NDArray[np.bool_], points: NDArray[np.float64]) -> None:
    """Marks the pixels whose centres a ring goes around an odd number of times."""
    height, width = found.shape
    x1, y1 = points.T
    x2, y2 = np.roll(points, -1, axis=0).T
    first, last = max(0, int(np.floor(y1.min() - 0.5))), min(height - 1, int(np.ceil(y1.max())))
    for row in range(first, last + 1):
        y = row + 0.5
        crossed = (y1 <= y) != (y2 <= y)
        if not crossed.any():
            continue
        at = np.sort(x1[crossed] + (y - y1[crossed]) * (x2[crossed] - x1[crossed]) / (y2[crossed] - y1[crossed]))
        ends = np.clip(np.ceil(at - 0.5), 0, width).astype(int)  # the first pixel whose centre is not left of it
        for start, end in zip(ends[::2], ends[1::2], strict=False):
            found[row, start:end] = True


@dataclass(frozen=True)
class DrawnMask:
    """One picture's mask as outlines.

    Attributes:
        height, width: of the upright picture, in pixels.
        outlines: each with its class index, or -1 for pixels that do not count. The larger are drawn first, so that
            what is small and lies on them is seen.
        around: the class of all other pixels, or -1.
    """

    height: int
    width: int
    outlines: tuple[tuple[int, Outline], ...]
    around: int

    def read(self) -> NDArray[np.int16]:
        """int16 [h, w] of class indices, -1 for void."""
        drawn = [(index, outline.inside(self.height, self.width)) for index, outline in self.outlines]
        mask = np.full((self.height, self.width), self.around, np.int16)
        for index, inside in sorted(drawn, key=lambda one: -int(one[1].sum())):
            mask[inside] = index
        return mask

    def moved(self, table: Sequence[int]) -> DrawnMask:
        """The same under other indices: index i becomes `table[i]`."""
        outlines = tuple((table[i] if i >= 0 else i, outline) for i, outline in self.outlines)
        return replace(self, outlines=outlines, around=table[self.around] if self.around >= 0 else self.around)
