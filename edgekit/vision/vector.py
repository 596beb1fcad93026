"""What a net without a last layer answers: the features of a picture, a vector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.vision.image import Frame, check_frame
from edgekit.vision.results import Result


@dataclass(frozen=True, eq=False)
class Features(Result):
    """The features of one picture. `numpy.asarray(found)` gives the vector.

    Attributes:
        values: float32 [D], read-only.
    """

    values: NDArray[np.float32]

    @property
    def norm(self) -> float:
        """The vector's length."""
        return float(np.linalg.norm(self.values.astype(np.float64)))

    def __len__(self) -> int:
        return len(self.values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.values, dtype=dtype, copy=True)

    def similarity(self, other: Features) -> float:
        """The cosine of the angle between this and another picture's features, -1..1; 0 where one is all zeros."""
        lengths = self.norm * other.norm
        product = float(self.values.astype(np.float64) @ other.values.astype(np.float64))
        return product / lengths if lengths else 0.0

    def __str__(self) -> str:
        return f"{len(self)} features of norm {self.norm:.4g}"

    def __repr__(self) -> str:
        return f"Features({self})"

    def draw(self, frame: Frame) -> Frame:
        """A copy of the picture as it is: features have no place in it."""
        check_frame(frame)
        return np.array(frame, order="C", copy=True)

    def to_dict(self) -> dict[str, Any]:
        """`features`: D numbers, which read back are the very float32 values."""
        return {"features": [float(str(value)) for value in self.values]}
