"""Which class pixels have and which they were given, counted in one pass; IoU and accuracy from the counts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import DataError

VOID = -1  # in a truth: nobody knows, and nothing there counts

Counts = NDArray[np.int64]


def confusion(truth: NDArray[Any], told: NDArray[Any], classes: int) -> Counts:
    """int64 [C, C + 1]: pixels by the class they have (rows) and the class they were given (columns).

    The last column is of pixels that were given none (-1): they are missed. What is void in the truth is in no row.

    Args:
        truth: int [h, w], -1 for void.
        told: int [h, w], -1 for none.

    Raises:
        DataError: two sizes, or an index that is no class.
    """
    if truth.shape != told.shape:
        raise DataError(
            "The mask and the answer differ in size.", got=f"{list(told.shape)}", expected=f"{list(truth.shape)}"
        )
    for name, values in (("mask", truth), ("answer", told)):
        if values.size and not -1 <= values.min() <= values.max() < classes:
            got = f"{int(values.min())} to {int(values.max())}"
            raise DataError(f"The {name} has an index that is no class.", got=got, expected=f"-1 to {classes - 1}")
    counted = truth.ravel() >= 0
    columns = np.where(told < 0, classes, told).ravel()[counted].astype(np.int64)
    cells = truth.ravel()[counted].astype(np.int64) * (classes + 1) + columns
    return np.bincount(cells, minlength=classes * (classes + 1)).reshape(classes, classes + 1).astype(np.int64)


def intersection_over_union(hits: NDArray[Any], there: NDArray[Any], told: NDArray[Any]) -> NDArray[np.float64]:
    """float64 [..., C], 0..1: of each class the pixels that have it and got it, of those that have or got it.

    NaN for a class that no pixel has or got. A class that no pixel has and some got is 0, as in torchmetrics'
    MulticlassJaccardIndex and the PASCAL VOC devkit (Everingham et al. 2010, sec. 4.1.3).

    Args:
        hits: [..., C] pixels of the class that were given it.
        there: [..., C] pixels of the class.
        told: [..., C] pixels, none of them void, that were given it.
    """
    union = there + told - hits
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(union > 0, hits / union, np.nan), np.float64)


def mean_of_known(values: NDArray[np.float64]) -> float | None:
    """The mean of what is not NaN; None where there is nothing."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None
