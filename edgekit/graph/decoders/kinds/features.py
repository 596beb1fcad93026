"""What a net without a last layer gives: a vector [N, D], tokens [N, T, D], or a map [N, D, h, w], of which the mean.

Of tokens either the first one is taken, where the net puts its summary there (Dosovitskiy et al. 2021, sec. 3.1), or
their mean: that has to be said.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.graph.builder import Builder
from edgekit.graph.decoders.arithmetic import reshaped
from edgekit.graph.decoders.base import Arrays, Decoder, Kept, Reading, Seen, Size
from edgekit.graph.decoders.recognise import sides_of
from edgekit.screen import count_of

EXPECTS = {"vector": "an output [N, D] or [N, D, h, w]", "first": "an output [N, T, D]", "mean": "an output [N, T, D]"}


class Features(Decoder):
    """Args: of: `vector`, or `first` or `mean` of tokens."""

    tasks = ("features",)

    def __init__(self, name: str, of: str) -> None:
        self.name = name
        self.of = of
        self.expects = EXPECTS[of]

    def read(self, seen: Seen, task: str) -> list[Reading]:
        found = []
        for spec in seen.outputs:
            sides = sides_of(spec)
            if sides is None or (len(sides) == 2) != (self.of != "vector") or len(sides) > 3:
                continue
            dimensions = sides[-1] if len(sides) == 2 else sides[0]
            notes = (
                (f"the mean over {sides[1]} x {count_of(sides[2], 'place')}",)
                if len(sides) == 3 and sides[1:] != (1, 1)
                else ()
            )
            found.append(Reading(self.name, task, {"features": spec.name}, 0, {"dimensions": dimensions}, notes))
        return found

    def append(self, b: Builder, reading: Reading, seen: Seen, kept: Kept) -> dict[str, str]:
        raw, dimensions = reading.roles["features"], reading.settings["dimensions"]
        if self.of == "first":
            return {"features": b.add("Gather", raw, b.constant(0, np.int32), axis=1)}
        if self.of == "mean":
            return {"features": b.add("ReduceMean", raw, b.constant([1], np.int64), keepdims=0)}
        flat = reshaped(b, raw, dimensions, -1)  # [N, D, places]
        return {"features": b.add("ReduceMean", flat, b.constant([2], np.int64), keepdims=0)}

    def reference(self, reading: Reading, size: Size, outputs: Arrays, kept: Kept) -> dict[str, NDArray[Any]]:
        raw = outputs[reading.roles["features"]].astype(np.float64)
        if self.of == "first":
            vector = raw[:, 0]
        elif self.of == "mean":
            vector = raw.mean(axis=1)
        else:
            vector = raw.reshape(*raw.shape[:2], -1).mean(axis=2)
        return {"features": vector.astype(np.float32)}


VECTOR = Features("features", "vector")
FIRST = Features("features-first", "first")
MEAN = Features("features-mean", "mean")
