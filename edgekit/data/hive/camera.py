"""The camera before the hive, and the world's axes.

World coordinates are millimetres: x to the right along the hive's front, y up from the landing board, z out of the
front towards the garden. The front is the plane z = 0, the board y = 0, the entrance a slot at the foot of the front.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
Points = NDArray[np.float64]
Rng = np.random.Generator


@dataclass(frozen=True)
class Camera:
    """A pinhole camera: `turn` [3, 3] from the world's axes to right, down, forwards; `place` [3] in mm."""

    turn: Points
    place: Points
    focal: float
    centre: tuple[float, float]

    def project(self, points: Points) -> tuple[Points, Points]:
        """Pixels x, y [n, 2] and distances along the view [n] of world points [n, 3]."""
        seen = (points - self.place) @ self.turn.T
        depth = np.maximum(seen[:, 2], 20.0)
        return seen[:, :2] * (self.focal / depth)[:, None] + self.centre, depth

    def slope(self, point: Points) -> Points:
        """[2, 3]: how the pixel moves when the world point [3] does, in pixels a millimetre."""
        x, y, z = self.turn @ (point - self.place)
        z = max(z, 20.0)
        flat = np.array([[1, 0, -x / z], [0, 1, -y / z]]) * (self.focal / z)
        return np.asarray(flat @ self.turn)
