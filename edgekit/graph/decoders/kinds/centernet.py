"""CenterNet (Zhou et al. 2019): a heat map [N, C, h, w], sizes and offsets [N, 2, h, w], all in cells of the map.

What is highest among its eight neighbours is a thing; its middle is the cell plus the offset. Sizes and offsets are
told apart by their names, and a heat map behind its sigmoid from one before it by the graph.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edgekit.graph.builder import Builder
from edgekit.graph.decoders.arithmetic import around, part, reshaped
from edgekit.graph.decoders.base import Arrays, Reading, Seen, Size, shape_of, sigmoid
from edgekit.graph.decoders.detector import Detector, Found, centred
from edgekit.graph.decoders.grids import anchors_of
from edgekit.graph.decoders.recognise import batched, class_names, last_kind
from edgekit.graph.decoders.select import Places

SIZES, OFFSETS = ("wh", "size", "dim"), ("reg", "off")  # parts of the outputs' names
NO_PEAK = -1e4  # logit of a place beside a peak: its sigmoid is 0


class CenterNet(Detector):
    """Args: done: whether the heat map is behind its sigmoid."""

    def __init__(self, name: str, done: bool) -> None:
        self.name = name
        self.done = done
        self.expects = (
            f"a heat map [N, C, h, w] {'behind' if done else 'before'} its sigmoid, and two maps [N, 2, h, w] whose "
            f"names say which has sizes ({', '.join(SIZES)}) and which offsets ({', '.join(OFFSETS)})"
        )

    def read(self, seen: Seen, task: str) -> list[Reading]:
        maps = {spec.name: batched(spec, 4) for spec in seen.outputs}
        sides = {found[1:] for found in maps.values() if found is not None}
        if len(maps) != 3 or None in maps.values() or len(sides) != 1:
            return []
        (height, width) = sides.pop()
        stride = seen.size[0] // height
        sizes, offsets = (
            [n for n, found in maps.items() if found and found[0] == 2 and any(word in n.lower() for word in words)]
            for words in (SIZES, OFFSETS)
        )
        heat = [name for name in maps if name not in sizes + offsets]
        fits = len(sizes) == len(offsets) == len(heat) == 1 and (stride * height, stride * width) == tuple(seen.size)
        classes = (maps[heat[0]] or (0,))[0] if fits else 0
        known = len(class_names(seen.props))
        if not fits or (known and known != classes):
            return []
        if seen.model is not None and (last_kind(seen.model, heat[0]) == "Sigmoid") != self.done:
            return []
        roles = {"heatmap": heat[0], "sizes": sizes[0], "offsets": offsets[0]}
        return [Reading(self.name, task, roles, classes, {"stride": stride})]

    def places(self, b: Builder, reading: Reading, seen: Seen) -> Places:
        heat, stride = reading.roles["heatmap"], reading.settings["stride"]
        height, width = (int(side) for side in shape_of(seen, heat)[2:])
        highest = b.add("MaxPool", heat, kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[1, 1])
        nothing = b.constant(0.0 if self.done else NO_PEAK)
        peaks = b.add("Where", b.add("Less", heat, highest), nothing, heat)
        both = b.add("Concat", reading.roles["offsets"], reading.roles["sizes"], axis=1)
        fixed = anchors_of(seen.size, [stride])

        def boxes(b: Builder, rows: str, fixed: Mapping[str, str]) -> str:
            scaled = b.add("Mul", rows, b.constant([stride]))
            return around(b, b.add("Add", fixed["corner"], part(b, scaled, 2, 0, 2)), part(b, scaled, 2, 2, 4))

        return Places(
            reshaped(b, peaks, 0, -1),
            reshaped(b, both, 0, -1),
            height * width,
            reading.classes,
            boxes,
            fixed,
            sigmoid=not self.done,
            every=True,
            channels_first=True,
        )

    def found(self, reading: Reading, size: Size, outputs: Arrays) -> Found:
        heat, sizes, offsets = (outputs[reading.roles[r]].astype(np.float64) for r in ("heatmap", "sizes", "offsets"))
        stride = reading.settings["stride"]
        scores = heat if self.done else sigmoid(heat)
        n, classes, height, width = heat.shape
        scores = np.where(_peaks(heat), scores, 0)
        y, x = np.mgrid[:height, :width]
        cx, cy = (x + offsets[:, 0]) * stride, (y + offsets[:, 1]) * stride
        boxes = centred(cx, cy, sizes[:, 0] * stride, sizes[:, 1] * stride).reshape(n, -1, 4)
        return Found(boxes, scores.reshape(n, classes, -1).transpose(0, 2, 1), every=True, class_by_class=True)


def _peaks(heat: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Where no neighbour of a map [N, C, h, w] is higher; a value that is no number hides none."""
    padded = np.pad(heat, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    height, width = heat.shape[2:]
    higher = np.zeros(heat.shape, dtype=np.bool_)
    for dy in range(3):
        for dx in range(3):
            higher |= padded[:, :, dy : dy + height, dx : dx + width] > heat
    return ~higher


CENTERNET = CenterNet("centernet", done=False)
SIGMOID = CenterNet("centernet-sigmoid", done=True)
