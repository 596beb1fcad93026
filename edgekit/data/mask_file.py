"""A mask as its file has it: numbers, and which class each of them stands for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import DataError, PictureError
from edgekit.vision.segmentation.png import read_colours, read_values

_Kind = TypeVar("_Kind", bound=np.generic)
VOID = -1  # nobody knows what the pixel is, and it does not count
# What makes a mask upright that was drawn on a picture as it is stored, where that swaps its sides (EXIF 2.32)
_TURNS: Mapping[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    5: lambda stored: stored.T,
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].T,
    8: lambda stored: np.rot90(stored),
}


def turned_upright(stored: NDArray[_Kind], orientation: int) -> NDArray[_Kind]:
    """[h, w] as a picture of EXIF's `orientation` is stored, as it is seen; as it is where that swaps no sides."""
    return np.ascontiguousarray(_TURNS[orientation](stored)) if orientation in _TURNS else stored


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
        values = turned_upright(values, self.orientation)
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


@dataclass(frozen=True)
class MaskStack:
    """One picture's mask in several files, each of one class: 0 is not it, 1 and 255 are.

    Attributes:
        files: each with its class index, or -1 for pixels that do not count. The larger are laid down first.
        around: the class of all other pixels, or -1.
    """

    files: tuple[tuple[int, Path], ...]
    around: int

    def read(self) -> NDArray[np.int16]:
        """int16 [h, w] of class indices, -1 for void. Raises PictureError: no such file, or two of other sizes."""
        drawn = [(index, path, read_values(path)) for index, path in self.files]
        _, first, whole = drawn[0]
        mask = np.full(whole.shape, self.around, np.int16)
        for index, path, values in sorted(drawn, key=lambda one: -int((one[2] > 0).sum())):
            if values.shape != mask.shape:
                raise PictureError(
                    f"{path} has another size.", got=f"{values.shape}", expected=f"{mask.shape} of {first}"
                )
            if not set(np.unique(values).tolist()) <= {0, 1, 255}:
                raise PictureError(
                    f"{path} is no mask of one class.", got="other numbers", expected="0 and 255, or 0 and 1"
                )
            mask[values > 0] = index
        return mask

    def moved(self, table: Sequence[int]) -> MaskStack:
        """The same under other indices: index i becomes `table[i]`."""
        files = tuple((table[i] if i >= 0 else i, path) for i, path in self.files)
        return replace(self, files=files, around=table[self.around] if self.around >= 0 else self.around)
