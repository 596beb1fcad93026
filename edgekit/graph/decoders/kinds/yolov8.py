"""YOLOv8 and YOLO11 as their own exporter writes them: [N, 4 + C, P], centre and size in pixels, classes 0 to 1.

One prediction a cell of strides 8, 16 and 32, decoded in the graph, without objectness. A file that also gives
prototypes of masks, [N, M, h, w], has M coefficients a place behind the classes, which are left out here.
"""

from __future__ import annotations

import numpy as np

from edgekit.graph.builder import Builder
from edgekit.graph.decoders.arithmetic import corners, part
from edgekit.graph.decoders.base import Arrays, Reading, Seen, Size, shape_of
from edgekit.graph.decoders.detector import Detector, Found, centred
from edgekit.graph.decoders.recognise import batched, cells, class_names
from edgekit.graph.decoders.select import Places


class YoloV8(Detector):
    """Also what YOLOv5u, v6, v9, v11 and v12 give."""

    name = "yolov8"
    expects = "an output [N, 4 + C, P], P = the cells of strides 8, 16 and 32"

    def read(self, seen: Seen, task: str) -> list[Reading]:
        sides = batched(seen.outputs[0], 3) if len(seen.outputs) in (1, 2) else None
        if sides is None or sides[1] != cells(seen.size) or sides[0] < 5:
            return []
        if seen.props.get("task", "detect") not in ("detect", "segment"):  # poses and turned boxes have more numbers
            return []
        prototypes = batched(seen.outputs[1], 4) if len(seen.outputs) == 2 else (0,)
        if prototypes is None:
            return []
        classes = sides[0] - 4 - prototypes[0]
        known = len(class_names(seen.props))
        if classes < 1 or (known and known != classes):
            return []
        notes = ("the masks of its instances are left out: boxes alone are given",) if prototypes[0] else ()
        return [Reading(self.name, task, {"boxes": seen.outputs[0].name}, classes, {}, notes)]

    def places(self, b: Builder, reading: Reading, seen: Seen) -> Places:
        output = reading.roles["boxes"]
        rows, scores = part(b, output, 1, 0, 4), part(b, output, 1, 4, 4 + reading.classes)
        count = int(shape_of(seen, output)[2])
        return Places(
            scores, rows, count, reading.classes, lambda b, r, _: corners(b, r, "cxcywh", (1, 1)), channels_first=True
        )

    def found(self, reading: Reading, size: Size, outputs: Arrays) -> Found:
        raw = outputs[reading.roles["boxes"]].astype(np.float64).transpose(0, 2, 1)
        return Found(centred(*(raw[..., i] for i in range(4))), raw[..., 4 : 4 + reading.classes])


YOLOV8 = YoloV8()
