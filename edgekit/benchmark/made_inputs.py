"""Inputs for a net that nobody described: their sizes where the file leaves them open, and something to fill them with.

How long a net takes depends on the sizes and hardly on the numbers, as long as those are no special ones (denormals).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgekit.backends.base import UNNAMED, Arrays
from edgekit.benchmark.subject import READY
from edgekit.data import made_pictures
from edgekit.errors import ArtifactError, UsageError
from edgekit.spec import PreprocessSpec, TensorSpec
from edgekit.vision.preprocess import preprocess

CHANNELS = (3, 1, 4)
LABELS, MAPS = 224, 640  # pixels a side where the file leaves it open: of a net with one row a picture, and of others
OTHER = 128  # any other dimension that the file leaves open
MOST = 1 << 28  # numbers in one input


@dataclass(frozen=True)
class MadeInput:
    """One input as it is fed.

    Attributes:
        shape: every dimension a number.
        chosen: what of the shape the file leaves open, in words; empty where it says all.
        filled: with what, in words.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    chosen: str
    filled: str


@dataclass(frozen=True)
class _Axes:
    """Where a picture's channels, height and width are in a shape."""

    channels: int
    height: int
    width: int


def made_inputs(
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    batch: int | None = None,
    size: tuple[int, int] | None = None,
) -> tuple[tuple[MadeInput, ...], list[Arrays]]:
    """What a net is fed, and `READY` sets of it.

    Args:
        inputs, outputs: as the file has them.
        batch: of the first dimension; None: the file's own, else 1.
        size: (height, width) of pictures whose size the file leaves open; None: 224 x 224 where all outputs are rows of
            numbers, 640 x 640 otherwise.

    Raises:
        UsageError: a batch or size that the file contradicts, or a size where nothing is a picture of an open size.
        ArtifactError: an input of a type or size that cannot be fed.
    """
    side = LABELS if outputs and all(len(spec.shape) <= 2 for spec in outputs) else MAPS
    sizes: dict[str, int] = {}
    made = tuple(_made(spec, batch, size, size or (side, side), sizes) for spec in inputs)
    if size is not None and not any(
        _has_size(one, axes, size) for one, axes in zip(made, map(_axes, inputs), strict=True)
    ):
        raise UsageError(
            "--size is for a net whose pictures may have any size.",
            got=f"{size[0]} x {size[1]}",
            expected="; ".join(map(str, inputs)),
            fix="leave --size out",
        )
    frames = [sample.read() for sample in made_pictures(READY)]
    rng = np.random.default_rng(0)
    feeds = [
        {one.name: _filled(one, _axes(spec), frames, k, rng) for one, spec in zip(made, inputs, strict=True)}
        for k in range(READY)
    ]
    return made, feeds


def _axes(spec: TensorSpec) -> _Axes | None:
    """Of a picture, [N, C, H, W], [N, H, W, C] or one of them without N; None for anything else."""
    if len(spec.shape) not in (3, 4) or spec.dtype == "bool":
        return None
    first = len(spec.shape) - 3
    if spec.shape[first] in CHANNELS or (isinstance(spec.shape[first], str) and spec.shape[-1] not in CHANNELS):
        axes = _Axes(first, first + 1, first + 2)
    elif spec.shape[-1] in CHANNELS:
        axes = _Axes(first + 2, first, first + 1)
    else:
        return None
    return axes if first or spec.shape[axes.channels] in CHANNELS else None


def _open(dim: int | str) -> bool:
    return isinstance(dim, str) or dim < 1  # some exporters write 0 or -1 for any size


def _made(
    spec: TensorSpec, batch: int | None, size: tuple[int, int] | None, usual: tuple[int, int], sizes: dict[str, int]
) -> MadeInput:
    try:
        dtype = np.dtype(spec.dtype)
    except TypeError as error:
        raise ArtifactError(
            "An input has a type that edgekit does not feed.", got=str(spec), expected="numbers"
        ) from error
    axes = _axes(spec)
    shape, chosen = [], []
    for i, dim in enumerate(spec.shape):
        if axes is not None and i in (axes.height, axes.width):
            wanted, what = usual[i == axes.width], "size"
        elif axes is not None and i == axes.channels:
            wanted, what = CHANNELS[0], "channels"
        elif i == 0:
            wanted, what = batch or 1, "batch"
        else:
            wanted, what = OTHER, f"dimension {i}"
        if isinstance(dim, int) and not _open(dim):
            given = {"size": size is not None, "batch": batch is not None}.get(what, False)
            if given and dim != wanted:
                raise UsageError(f"The file fixes the {what} of {spec.name}.", got=str(wanted), expected=str(spec))
            shape.append(dim)
            continue
        if isinstance(dim, str) and dim != UNNAMED:
            wanted = sizes.setdefault(dim, wanted)
        shape.append(wanted)
        if what not in chosen:
            chosen.append(what)
    if math.prod(shape) > MOST:
        raise ArtifactError(f"{spec.name} is too large to be made.", got=str(shape), expected=f"{MOST} numbers at most")
    filled = "made pictures" if axes is not None else {"f": "normal numbers", "b": "true"}.get(dtype.kind, "ones")
    if axes is not None and dtype.kind == "f":
        filled += ", 0 to 1"
    return MadeInput(spec.name, dtype.name, tuple(shape), ", ".join(chosen), filled)


def _has_size(one: MadeInput, axes: _Axes | None, size: tuple[int, int]) -> bool:
    return axes is not None and (one.shape[axes.height], one.shape[axes.width]) == size


def _filled(
    one: MadeInput, axes: _Axes | None, frames: Sequence[NDArray[np.uint8]], k: int, rng: np.random.Generator
) -> NDArray[np.generic]:
    """The k-th filling, as the input's dtype and shape have it."""
    kind = np.dtype(one.dtype).kind
    if axes is None:
        values = rng.normal(size=one.shape) if kind == "f" else np.ones(one.shape)
        return np.asarray(values, dtype=one.dtype, order="C")
    count = one.shape[0] if len(one.shape) == 4 else 1
    spec = PreprocessSpec(one.shape[axes.height], one.shape[axes.width], "stretch", None)
    channels = [c % 3 for c in range(one.shape[axes.channels])]
    rows = [
        preprocess(frames[(k * count + i) % len(frames)], spec)[..., channels] for i in range(min(count, len(frames)))
    ]
    block = np.stack([rows[i % len(rows)] for i in range(count)])  # [N, H, W, C]
    if axes.channels < axes.height:
        block = block.transpose(0, 3, 1, 2)
    scaled = block / 255 if kind == "f" else block
    return np.asarray(scaled.reshape(one.shape), dtype=one.dtype, order="C")
