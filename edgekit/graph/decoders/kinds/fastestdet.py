"""FastestDet: one map of stride 16, [N, 5 + C, h, w]: objectness, four box numbers, classes.

Objectness is behind its sigmoid in the file and the classes behind their softmax; the score is objectness^0.6 x
class^0.4, the centre (tanh(x) + cell) and the size sigmoid(x) of the picture (the author's test.py, `handle_preds`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgekit.graph.builder import Builder
from edgekit.graph.decoders.arithmetic import around, part, reshaped
from edgekit.graph.decoders.base import Arrays, Reading, Seen, Size, shape_of, sigmoid
from edgekit.graph.decoders.detector import Detector, Found, centred
from edgekit.graph.decoders.recognise import batched
from edgekit.graph.decoders.select import Places

STRIDE = 16
POWERS = (0.6, 0.4)  # of objectness and class


class FastestDet(Detector):
    """As above."""

    name = "fastestdet"
    expects = f"one output [N, 5 + C, h, w], h and w the input's sides divided by {STRIDE}"

    def read(self, seen: Seen, task: str) -> list[Reading]:
        sides = batched(seen.outputs[0], 4) if len(seen.outputs) == 1 else None
        if sides is None or sides[0] < 6 or (sides[1] * STRIDE, sides[2] * STRIDE) != tuple(seen.size):
            return []
        return [Reading(self.name, task, {"map": seen.outputs[0].name}, sides[0] - 5)]

    def places(self, b: Builder, reading: Reading, seen: Seen) -> Places:
        output = reading.roles["map"]
        height, width = (int(side) for side in shape_of(seen, output)[2:])
        flat = reshaped(b, output, 0, -1)  # [N, 5 + C, P]
        y, x = np.mgrid[:height, :width]
        pixels = b.constant([seen.size[1] / width, seen.size[0] / height])

        def boxes(b: Builder, rows: str, fixed: Mapping[str, str]) -> str:
            centre = b.add("Mul", b.add("Add", b.add("Tanh", part(b, rows, 2, 0, 2)), fixed["cell"]), pixels)
            share = b.add("Sigmoid", part(b, rows, 2, 2, 4))
            return around(b, centre, b.add("Mul", share, b.constant([seen.size[1], seen.size[0]])))

        return Places(
            part(b, flat, 1, 5, 5 + reading.classes),
            part(b, flat, 1, 1, 5),
            height * width,
            reading.classes,
            boxes,
            {"cell": np.stack([x, y], axis=-1).reshape(-1, 2)},
            part(b, flat, 1, 0, 1),
            powers=POWERS,
            channels_first=True,
        )

    def found(self, reading: Reading, size: Size, outputs: Arrays) -> Found:
        raw = outputs[reading.roles["map"]].astype(np.float64)
        n, _, rows, columns = raw.shape
        height, width = size
        boxes = np.empty((n, rows, columns, 4))
        for y in range(rows):
            for x in range(columns):
                cx = (np.tanh(raw[:, 1, y, x]) + x) / columns
                cy = (np.tanh(raw[:, 2, y, x]) + y) / rows
                w, h = sigmoid(raw[:, 3, y, x]), sigmoid(raw[:, 4, y, x])
                boxes[:, y, x] = centred(cx, cy, w, h)
        boxes *= (width, height, width, height)
        objectness, classes = raw[:, :1], raw[:, 5:]
        scores = objectness ** POWERS[0] * classes ** POWERS[1]
        return Found(boxes.reshape(n, -1, 4), scores.reshape(n, reading.classes, -1).transpose(0, 2, 1))


FASTESTDET = FastestDet()
