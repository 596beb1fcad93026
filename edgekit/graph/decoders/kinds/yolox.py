"""YOLOX (Ge et al. 2021, sec. 2.1): one prediction a cell of grids at strides 8, 16 and 32, without anchors.

[N, P, 5 + C]: centre and size, objectness, classes, with objectness and classes behind their sigmoid in the file. The
usual export leaves centre and size as offsets, to be decoded outside; another one decodes them in the graph.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgekit.graph.builder import Builder
from edgekit.graph.decoders.arithmetic import around, corners, part
from edgekit.graph.decoders.base import Arrays, Reading, Seen, Size, shape_of
from edgekit.graph.decoders.detector import Detector, Found, centred
from edgekit.graph.decoders.grids import anchors_of
from edgekit.graph.decoders.recognise import STRIDES, batched, behind_layers, cells, class_names
from edgekit.graph.decoders.select import Places


class YoloX(Detector):
    """Args: decoded: whether the file gives centres and sizes in pixels already."""

    expects = "one output [N, P, 5 + C], P = the cells of strides 8, 16 and 32"

    def __init__(self, name: str, decoded: bool) -> None:
        self.name = name
        self.decoded = decoded

    def read(self, seen: Seen, task: str) -> list[Reading]:
        sides = batched(seen.outputs[0], 3) if len(seen.outputs) == 1 else None
        if sides is None or sides[0] != cells(seen.size) or sides[1] < 6:
            return []
        known = len(class_names(seen.props))
        if known and known != sides[1] - 5:
            return []
        output = seen.outputs[0].name
        # sizes are exp(x) * stride: whoever decoded them in the graph has an Exp behind the last layers
        if seen.model is not None and ("Exp" in behind_layers(seen.model, output)) != self.decoded:
            return []
        return [Reading(self.name, task, {"boxes": output}, sides[1] - 5, {"strides": list(STRIDES)})]

    def places(self, b: Builder, reading: Reading, seen: Seen) -> Places:
        output = reading.roles["boxes"]
        count = int(shape_of(seen, output)[1])
        objectness, scores = part(b, output, 2, 4, 5), part(b, output, 2, 5, 5 + reading.classes)
        rows = part(b, output, 2, 0, 4)
        if self.decoded:
            return Places(
                scores, rows, count, reading.classes, lambda b, r, _: corners(b, r, "cxcywh", (1, 1)),
                objectness=objectness,
            )  # fmt: skip
        fixed = anchors_of(seen.size, reading.settings["strides"])

        def boxes(b: Builder, rows: str, fixed: Mapping[str, str]) -> str:
            centre = b.add("Add", b.add("Mul", part(b, rows, 2, 0, 2), fixed["stride"]), fixed["corner"])
            return around(b, centre, b.add("Mul", b.add("Exp", part(b, rows, 2, 2, 4)), fixed["stride"]))

        return Places(scores, rows, count, reading.classes, boxes, fixed, objectness)

    def found(self, reading: Reading, size: Size, outputs: Arrays) -> Found:
        raw = outputs[reading.roles["boxes"]].astype(np.float64)
        centre, extent = raw[..., :2], raw[..., 2:4]
        if not self.decoded:
            start = 0
            centre, extent = np.empty_like(centre), np.empty_like(extent)
            for stride in reading.settings["strides"]:
                for y in range(size[0] // stride):
                    width = size[1] // stride
                    row = slice(start, start + width)
                    centre[:, row, 0] = (raw[:, row, 0] + np.arange(width)) * stride
                    centre[:, row, 1] = (raw[:, row, 1] + y) * stride
                    extent[:, row] = np.exp(raw[:, row, 2:4]) * stride
                    start += width
        boxes = centred(centre[..., 0], centre[..., 1], extent[..., 0], extent[..., 1])
        return Found(boxes, raw[..., 4:5] * raw[..., 5:])


YOLOX = YoloX("yolox", decoded=False)
DECODED = YoloX("yolox-decoded", decoded=True)
