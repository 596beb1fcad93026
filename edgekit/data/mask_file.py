"""A mask as its file has it: numbers, and which class each of them stands for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import DataError
from edgekit.vision.segmentation.png import read_colours, read_values

VOID = -1  # nobody knows what the pixel is, and it does not count
# What makes a mask upright that was drawn on a picture as it is stored, where that swaps its sides (EXIF 2.32)
_TURNS: Mapping[int, Callable[[NDArray[np.uint16]], NDArray[np.uint16]]] = {
    5: lambda stored: stored.T,
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].T,
    8: lambda stored: np.rot90(stored),
}


@dataclass(frozen=True)
class MaskFile:
    """One picture's mask.

    Attributes:
        path: a picture of class numbers, grey or with a palette.
        classes: the class index of each number, `VOID` for those that do not count. A number that is missing is an
            error when the mask is read; None: each number is its own index, and 255 is void.
        names: what the data set calls a number, for messages.
        orientation: EXIF's, of a picture whose mask was drawn as it is stored.
        proposal: what mends a name that is no class, where there is such a name.
        colours: of a mask in colours the number of each, red x 65536 + green x 256 + blue; else none.
    """

    path: Path
    classes: Mapping[int, int] | None = None
    names: Mapping[int, str] = field(default_factory=dict)
    orientation: int = 1
    proposal: str = ""
    colours: Mapping[int, int] = field(default_factory=dict)

    def read(self) -> NDArray[np.int16]:
        """int16 [h, w] of class indices, -1 for void. Raises DataError for a number that is no class, PictureError."""
        values = self._numbers() if self.colours else read_values(self.path)
        if self.orientation in _TURNS:
            values = np.ascontiguousarray(_TURNS[self.orientation](values))
        if self.classes is None:
            return np.where(values == 255, VOID, values).astype(np.int16)
        seen = np.unique(values)
        unknown = [int(v) for v in seen if int(v) not in self.classes]
        if unknown:
            told = [f"{v} ({self.names[v]})" if v in self.names else str(v) for v in unknown[:5]]
            raise DataError(
                f"{self.path} has a number that is no class of the model.",
                got=", ".join(told) + (f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""),
                expected="one of " + ", ".join(map(str, sorted(self.classes))),
                fix=self.proposal
                if self.proposal and any(v in self.names for v in unknown)
                else "a classes.txt beside the pictures says which number is which class, and which is void; grey "
                "between 0 and 255 at the edges of a mask of one class must be cut at 128",
            )
        table = np.array([self.classes[int(v)] for v in seen], np.int16)
        return np.asarray(table[np.searchsorted(seen, values)])

    def _numbers(self) -> NDArray[np.uint16]:
        """The numbers that its colours stand for. Raises DataError for a colour that stands for none."""
        packed = read_colours(self.path)
        seen = np.unique(packed)
        unknown = [int(c) for c in seen if int(c) not in self.colours]
        if unknown:
            told = [f"{c >> 16} {c >> 8 & 255} {c & 255}" for c in unknown[:5]]
            raise DataError(
                f"{self.path} has a colour that no class has.",
                got=", ".join(told) + (f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""),
                expected=f"one of the {len(self.colours)} in the data set's table",
                fix="add the colour to the table; blurred edges of colours must be written again, without smoothing",
            )
        table = np.array([self.colours[int(c)] for c in seen], np.uint16)
        return np.asarray(table[np.searchsorted(seen, packed)])
