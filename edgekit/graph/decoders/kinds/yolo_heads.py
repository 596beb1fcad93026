"""YOLO's maps as the last layers give them, one a stride: [N, A (5 + C), h, w], or [N, A, h, w, 5 + C].

A anchors a cell, each with a centre, a size, objectness and classes before their sigmoid. YOLOv5 and v7: the centre is
2 sigmoid(x) - 0.5 from the cell's corner and the size (2 sigmoid(x))^2 anchors (Ultralytics, "YOLOv5 architecture",
sec. 4.3); YOLOv3: sigmoid(x) and exp(x) anchors (Redmon and Farhadi 2018, sec. 2.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from edgekit.graph.builder import Builder
from edgekit.graph.decoders.arithmetic import around, part, reshaped
from edgekit.graph.decoders.base import Arrays, Reading, Seen, Size, shape_of, sigmoid
from edgekit.graph.decoders.detector import Detector, Found, centred
from edgekit.graph.decoders.recognise import STRIDES, class_names, last_kind, sides_of
from edgekit.graph.decoders.select import Places

# width and height in pixels, of the anchors of strides 8, 16 and 32: the configurations of their authors
V5 = [[[10, 13], [16, 30], [33, 23]], [[30, 61], [62, 45], [59, 119]], [[116, 90], [156, 198], [373, 326]]]
V7 = [[[12, 16], [19, 36], [40, 28]], [[36, 75], [76, 55], [72, 146]], [[142, 110], [192, 243], [459, 401]]]


class YoloHeads(Detector):
    """Args: anchors: the standard ones. exponential: whether sizes are exp(x), as in YOLOv3."""

    expects = "three maps [N, 3 (5 + C), h, w] or [N, 3, h, w, 5 + C] at strides 8, 16 and 32"

    def __init__(self, name: str, anchors: list[list[list[int]]], exponential: bool) -> None:
        self.name = name
        self.anchors = anchors
        self.exponential = exponential

    def read(self, seen: Seen, task: str) -> list[Reading]:
        roles: dict[str, str] = {}
        columns = set()
        for spec in seen.outputs:
            sides = sides_of(spec)
            if sides is None or len(sides) not in (3, 4) or (len(sides) == 4 and sides[0] != 3):
                return []
            place = sides[1:3]
            strides = [s for s in STRIDES if (place[0] * s, place[1] * s) == tuple(seen.size)]
            if not strides or (len(sides) == 3 and sides[0] % 3):
                return []
            roles[f"head/{STRIDES.index(strides[0])}"] = spec.name
            columns.add(sides[3] if len(sides) == 4 else sides[0] // 3)
        classes = min(columns, default=0) - 5
        known = len(class_names(seen.props))
        if len(roles) != len(STRIDES) or len(columns) != 1 or classes < 1 or (known and known != classes):
            return []
        done = seen.model is not None and all(last_kind(seen.model, name) == "Sigmoid" for name in roles.values())
        if done and self.exponential:
            return []
        settings = {"strides": list(STRIDES), "anchors": self.anchors, "exponential": self.exponential, "sigmoid": done}
        notes = (f"the anchors are taken to be the standard ones of {self.name.partition('-')[0]}",)
        return [Reading(self.name, task, dict(sorted(roles.items())), classes, settings, notes)]

    def places(self, b: Builder, reading: Reading, seen: Seen) -> Places:
        how, heads = reading.settings, []
        shapes = [shape_of(seen, name) for name in reading.roles.values()]
        last = len(shapes[0]) == 5
        width = 5 + reading.classes
        for name in reading.roles.values():
            if last:
                heads.append(reshaped(b, name, -1, width))  # [N, A h w, 5 + C]
            else:
                apart = reshaped(b, name, -1, width, int(np.prod(shape_of(seen, name)[2:])))  # type: ignore[arg-type]
                heads.append(reshaped(b, b.add("Transpose", apart, perm=[0, 2, 1, 3]), width, -1))  # [N, 5 + C, A h w]
        axis = 2 if last else 1
        whole = b.add("Concat", *heads, axis=3 - axis) if len(heads) > 1 else heads[0]
        fixed = _places(seen.size, how)

        def boxes(b: Builder, rows: str, fixed: Mapping[str, str]) -> str:
            move, grow = part(b, rows, 2, 0, 2), part(b, rows, 2, 2, 4)
            if not how["sigmoid"]:
                move = b.add("Sigmoid", move)
                grow = grow if how["exponential"] else b.add("Sigmoid", grow)
            if how["exponential"]:
                grow = b.add("Exp", grow)
            else:
                move = b.add("Sub", b.add("Add", move, move), b.constant([0.5]))
                grow = b.add("Add", grow, grow)
                grow = b.add("Mul", grow, grow)
            centre = b.add("Mul", b.add("Add", move, fixed["cell"]), fixed["stride"])
            return around(b, centre, b.add("Mul", grow, fixed["anchor"]))

        return Places(
            part(b, whole, axis, 5, width),
            part(b, whole, axis, 0, 4),
            len(fixed["cell"]),
            reading.classes,
            boxes,
            fixed,
            part(b, whole, axis, 4, 5),
            sigmoid=not how["sigmoid"],
            channels_first=not last,
        )

    def found(self, reading: Reading, size: Size, outputs: Arrays) -> Found:
        how = reading.settings
        boxes, scores = [], []
        for name, stride, anchors in zip(reading.roles.values(), how["strides"], how["anchors"], strict=True):
            raw = outputs[name].astype(np.float64)
            if raw.ndim == 4:
                n, _, height, width = raw.shape
                raw = raw.reshape(n, len(anchors), -1, height, width).transpose(0, 1, 3, 4, 2)  # [N, A, h, w, 5 + C]
            told = raw if how["sigmoid"] else sigmoid(raw)
            for a, (wide, high) in enumerate(anchors):
                one, squashed = raw[:, a], told[:, a]
                y, x = np.mgrid[: one.shape[1], : one.shape[2]]
                if how["exponential"]:
                    cx, cy = squashed[..., 0] + x, squashed[..., 1] + y
                    w, h = np.exp(one[..., 2]) * wide, np.exp(one[..., 3]) * high
                else:
                    cx, cy = 2 * squashed[..., 0] - 0.5 + x, 2 * squashed[..., 1] - 0.5 + y
                    w, h = (2 * squashed[..., 2]) ** 2 * wide, (2 * squashed[..., 3]) ** 2 * high
                boxes.append(centred(cx * stride, cy * stride, w, h).reshape(len(one), -1, 4))
                scores.append((squashed[..., 4:5] * squashed[..., 5:]).reshape(len(one), -1, reading.classes))
        return Found(np.concatenate(boxes, axis=1), np.concatenate(scores, axis=1))


def _places(size: Size, how: Mapping[str, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """Cell [P, 2], stride [P, 1] and anchor [P, 2] of each place: map by map, in it anchor by anchor."""
    cell, strides, anchors = [], [], []
    for stride, shapes in zip(how["strides"], how["anchors"], strict=True):
        y, x = np.mgrid[: size[0] // stride, : size[1] // stride]
        grid = np.stack([x, y], axis=-1).reshape(-1, 2)
        for shape in shapes:
            cell.append(grid)
            strides.append(np.full((len(grid), 1), stride))
            anchors.append(np.tile(shape, (len(grid), 1)))
    return {"cell": np.concatenate(cell), "stride": np.concatenate(strides), "anchor": np.concatenate(anchors)}


YOLOV5 = YoloHeads("yolov5-heads", V5, exponential=False)
YOLOV7 = YoloHeads("yolov7-heads", V7, exponential=False)
YOLOV3 = YoloHeads("yolov3-heads", V5, exponential=True)
