"""The cells of a detector's grids, and the anchors that stand in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgekit.graph.decoders.base import Size

Floats = NDArray[np.float32]


def anchors_of(
    size: Size, strides: Sequence[int], anchors: Sequence[Sequence[Sequence[float]]] = (), offset: float = 0.5
) -> dict[str, Floats]:
    """What each place has by where it stands, float32, in pixels; row after row, a cell's anchors one after the other.

    Args:
        offset: of a cell's middle from its left and top, in cells.

    Returns:
        corner: [P, 2], the left and top of its cell; middle: [P, 2]; stride: [P, 1]; anchor: [P, 2], width and height
        (the stride where there are no anchors). A side that is no multiple of a stride has a cell more.
    """
    corner, stride, anchor = [], [], []
    for number, step in enumerate(strides):
        y, x = np.mgrid[: -(-size[0] // step), : -(-size[1] // step)]
        shapes = np.array(anchors[number] if anchors else [[step, step]], dtype=np.float32)
        cells = np.stack([x, y], axis=-1).reshape(-1, 2) * step
        corner.append(np.repeat(cells, len(shapes), axis=0))
        anchor.append(np.tile(shapes, (len(cells), 1)))
        stride.append(np.full((len(cells) * len(shapes), 1), step))
    corners: Floats = np.concatenate(corner).astype(np.float32)
    steps: Floats = np.concatenate(stride).astype(np.float32)
    return {
        "corner": corners,
        "middle": np.asarray(corners + steps * offset, np.float32),
        "stride": steps,
        "anchor": np.concatenate(anchor).astype(np.float32),
    }
