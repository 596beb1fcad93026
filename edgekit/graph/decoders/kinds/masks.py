"""A segmentation net's maps: logits or probabilities of each class [N, C, h, w], or of one thing alone [N, 1, h, w].

They are resized to the input's size (bilinear, half-pixel centres, as torch's align_corners=False), and each pixel is
of the class that is highest there; `score` is its probability. With one map, pixels are 1 where it is above a half.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.graph.builder import Builder
from edgekit.graph.decoders.base import Arrays, Decoder, Kept, Reading, Seen, Size, shape_of, sigmoid
from edgekit.graph.decoders.recognise import class_names, last_kind, sides_of, without_auxiliary
from edgekit.vision.spec import TensorSpec

ODD = 0.02  # of a side, or a pixel, that a map may be off the input's ratio


class Masks(Decoder):
    """Args: done: whether the maps are probabilities."""

    tasks = ("segmentation",)

    def __init__(self, name: str, done: bool) -> None:
        self.name = name
        self.done = done
        self.expects = f"maps [N, C, h, w] or [N, h, w, C] of {'probabilities' if done else 'logits'}"

    def read(self, seen: Seen, task: str) -> list[Reading]:
        found = (self._of(spec, seen, task) for spec in without_auxiliary(seen.outputs))
        return [reading for reading in found if reading is not None]

    def _of(self, spec: TensorSpec, seen: Seen, task: str) -> Reading | None:
        sides = sides_of(spec)
        if sides is None or len(sides) != 3:
            return None
        first = _fits(sides[1:], seen.size)
        if not first and not _fits(sides[:2], seen.size):
            return None
        maps = sides[0] if first else sides[2]
        classes = max(2, maps)
        known = len(class_names(seen.props))
        if known and known != classes:
            return None
        if seen.model is not None and (last_kind(seen.model, spec.name) in ("Softmax", "Sigmoid")) != self.done:
            return None
        notes = ("one map: pixels above a half are class 1, the others class 0",) if maps == 1 else ()
        return Reading(self.name, task, {"maps": spec.name}, classes, {"axis": "first" if first else "last"}, notes)

    def append(self, b: Builder, reading: Reading, seen: Seen, kept: Kept) -> dict[str, str]:
        maps = reading.roles["maps"]
        sides = [int(side) for side in shape_of(seen, maps)[1:]]
        if reading.settings["axis"] == "last":
            maps, sides = b.add("Transpose", maps, perm=[0, 3, 1, 2]), [sides[2], *sides[:2]]
        if tuple(sides[1:]) != tuple(seen.size):
            # by scales: TensorRT-RTX 1.7 refuses the attribute that would leave the batch out of the sizes
            scales = [np.float32(1), np.float32(1), *(_scale(*pair) for pair in zip(sides[1:], seen.size, strict=True))]
            maps = b.add("Resize", maps, "", b.constant(scales), mode="linear")
        axis = b.constant([1], np.int64)
        if sides[0] == 1:
            share = b.add("Squeeze", maps if self.done else b.add("Sigmoid", maps), axis)
            mask = b.cast(b.add("Greater", share, b.constant(0.5)), np.int32)
            return {"mask": mask, "score": b.add("Max", share, b.add("Sub", b.constant(1.0), share))}
        mask = b.cast(b.add("ArgMax", maps, axis=1, keepdims=0), np.int32)
        shares = maps if self.done else b.add("Softmax", maps, axis=1)
        return {"mask": mask, "score": b.add("ReduceMax", shares, axis, keepdims=0)}

    def reference(self, reading: Reading, size: Size, outputs: Arrays, kept: Kept) -> dict[str, NDArray[Any]]:
        raw = outputs[reading.roles["maps"]].astype(np.float64)
        if reading.settings["axis"] == "last":
            raw = raw.transpose(0, 3, 1, 2)
        raw = _stretched(_stretched(raw, size[0], 2), size[1], 3)
        if raw.shape[1] == 1:
            share = raw[:, 0] if self.done else sigmoid(raw[:, 0])
            return {"mask": (share > 0.5).astype(np.int32), "score": np.maximum(share, 1 - share).astype(np.float32)}
        highest = raw.max(axis=1)
        score = highest if self.done else 1 / np.exp(raw - highest[:, None]).sum(axis=1)
        return {"mask": raw.argmax(axis=1).astype(np.int32), "score": score.astype(np.float32)}


def _fits(sides: tuple[int, ...], size: Size) -> bool:
    """Whether a map of these sides is the input, shrunk."""
    shrunk = all(1 < side <= whole for side, whole in zip(sides, size, strict=True))
    return shrunk and abs(sides[0] * size[1] / size[0] - sides[1]) <= max(1, ODD * sides[1])


def _scale(of: int, to: int) -> np.float32:
    """The smallest float32 that makes `of` pixels `to`, where a runtime cuts off what is behind the point."""
    scale = np.float32(to / of)
    while np.floor(np.float32(of) * scale) < to:
        scale = np.nextafter(scale, np.float32(np.inf))
    return scale


def _stretched(maps: NDArray[np.float64], to: int, axis: int) -> NDArray[np.float64]:
    """Linear along one axis: the middle of output pixel i lies at (i + 0.5) of / to - 0.5, held at the border."""
    of = maps.shape[axis]
    if of == to:
        return maps
    at = np.clip((np.arange(to) + 0.5) * of / to - 0.5, 0, of - 1)
    low = np.floor(at).astype(np.int64)
    share = (at - low).reshape([-1 if i == axis else 1 for i in range(maps.ndim)])
    near, far = np.take(maps, low, axis), np.take(maps, np.minimum(low + 1, of - 1), axis)
    return np.asarray(near * (1 - share) + far * share)


class Numbers(Decoder):
    """The class of each pixel, as the file tells itself: [N, H, W] or [N, 1, H, W] of the input's size, of any type.

    No scores can be had of it: `score` is 1 everywhere.
    """

    name = "mask-numbers"
    tasks = ("segmentation",)
    expects = "class numbers [N, H, W] or [N, 1, H, W] of the input's size"

    def read(self, seen: Seen, task: str) -> list[Reading]:
        found = []
        for spec in seen.outputs:
            whole = not spec.dtype.startswith("float") or len(spec.shape) == 3
            if whole and tuple(spec.shape[1:]) in (tuple(seen.size), (1, *seen.size)):
                notes = ("the file tells no scores: they are 1 everywhere",)
                found.append(Reading(self.name, task, {"mask": spec.name}, len(class_names(seen.props)), {}, notes))
        return found

    def append(self, b: Builder, reading: Reading, seen: Seen, kept: Kept) -> dict[str, str]:
        mask = b.cast(b.add("Reshape", reading.roles["mask"], b.constant([-1, *seen.size], np.int64)), np.int32)
        return {"mask": mask, "score": b.cast(b.add("Equal", mask, mask), np.float32)}

    def reference(self, reading: Reading, size: Size, outputs: Arrays, kept: Kept) -> dict[str, NDArray[Any]]:
        mask = outputs[reading.roles["mask"]].reshape(-1, *size).astype(np.int32)
        return {"mask": mask, "score": np.ones(mask.shape, np.float32)}


LOGITS = Masks("mask-logits", done=False)
PROBABILITIES = Masks("mask-probabilities", done=True)
NUMBERS = Numbers()
