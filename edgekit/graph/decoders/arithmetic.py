"""Small formulas on boxes that several decoders write into a graph."""

from __future__ import annotations

import numpy as np

from edgekit.graph.builder import Builder


def part(b: Builder, tensor: str, axis: int, start: int, end: int) -> str:
    """`tensor[..., start:end, ...]` along an axis."""
    if start == 0:  # OpenVINO 2026.4 drops a Slice from 0 on before GatherElements, and then refuses the shapes
        return b.add("Gather", tensor, b.constant(np.arange(end), np.int32), axis=axis)
    return b.add("Slice", tensor, *(b.constant([v], np.int64) for v in (start, end, axis)))


def reshaped(b: Builder, tensor: str, *shape: int) -> str:
    """`tensor` in another shape behind the batch: 0 leaves a side as it is, one may be -1."""
    return b.add("Reshape", tensor, b.constant([0, *shape], np.int64))


def around(b: Builder, centre: str, size: str) -> str:
    """x1 y1 x2 y2 of a centre and a size, [..., 2] each; a negative size counts as 0."""
    half = b.add("Mul", b.add("Relu", size), b.constant([0.5]))
    return b.add("Concat", b.add("Sub", centre, half), b.add("Add", centre, half), axis=-1)


def corners(b: Builder, rows: str, box: str, scale: tuple[float, float]) -> str:
    """x1 y1 x2 y2 in pixels of rows [N, n, 4].

    Args:
        box: what a row holds: `xyxy`, `yxyx`, `xywh` (x1 y1 and size), `cxcywh` (centre and size).
        scale: pixels to a unit of x and of y.
    """
    first, second = part(b, rows, 2, 0, 2), part(b, rows, 2, 2, 4)
    if box == "cxcywh":
        made = around(b, first, second)
    elif box == "xywh":
        made = b.add("Concat", first, b.add("Add", first, b.add("Relu", second)), axis=-1)
    elif box == "yxyx":
        made = b.add("Gather", rows, b.constant([1, 0, 3, 2], np.int32), axis=2)
    else:
        made = rows
    return made if scale == (1, 1) else b.add("Mul", made, b.constant([*scale, *scale]))
