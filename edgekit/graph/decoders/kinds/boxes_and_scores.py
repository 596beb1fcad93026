"""SSD and its like (Liu et al. 2016), UltraFace among them: scores [N, P, C] and boxes [N, P, 4] of P priors.

The boxes are corners, decoded in the file; class 0 is the background. Where the file gives the priors' offsets, the
priors have to be described (`format = "deltas"` in a file for `--decoder`).
"""

from __future__ import annotations

import numpy as np

from edgekit.graph.decoders.base import Reading, Seen
from edgekit.graph.decoders.kinds.described import Described
from edgekit.graph.decoders.kinds.sets import MOST, scores_and_boxes
from edgekit.graph.decoders.recognise import batched, behind_layers, class_names, constants_behind_layers, last_kind


class BoxesAndScores(Described):
    """Args: pixels: whether the corners are in pixels; otherwise 0 to 1 of the picture's sides."""

    def __init__(self, name: str, pixels: bool) -> None:
        self.name = name
        self.pixels = pixels
        self.expects = f"scores [N, P, C] and boxes [N, P, 4] of more than {MOST} places, corners " + (
            "in pixels" if pixels else "of 0 to 1"
        )

    def read(self, seen: Seen, task: str) -> list[Reading]:
        pair = scores_and_boxes(seen)
        sides = batched(pair[0], 3) if pair is not None else None
        if pair is None or sides is None or sides[0] <= MOST:
            return []
        scores, boxes = pair
        done, unit = "", None
        if seen.model is not None:
            if not {"Mul", "Add", "Sub", "Exp"} & behind_layers(seen.model, boxes.name):
                return []  # offsets as the layers give them
            done, unit = last_kind(seen.model, scores.name), _unit(seen, boxes.name, sides[0])
        if unit is not None and (unit == "pixels") != self.pixels:
            return []
        background = done != "Sigmoid" and sides[1] > 1
        classes = sides[1] - background
        known = len(class_names(seen.props))
        if known and known != classes:
            return []
        settings = {
            "format": "xyxy",
            "unit": "pixels" if self.pixels else "picture",
            "activation": "none" if done in ("Softmax", "Sigmoid") else "softmax" if background else "sigmoid",
            "background": "first" if background else "none",
            "every": True,
        }
        notes = ("class 0 of the scores is taken for the background",) if background else ()
        return [Reading(self.name, task, {"scores": scores.name, "boxes": boxes.name}, classes, settings, notes)]


def _unit(seen: Seen, boxes: str, places: int) -> str | None:
    """What the priors in the graph are measured in; None where there are none."""
    assert seen.model is not None
    for value in constants_behind_layers(seen.model, boxes):
        if value.dtype.kind == "f" and value.ndim >= 2 and places in value.shape and value.size <= 4 * places:
            return "picture" if float(np.abs(value).max()) <= 2 else "pixels"
    return None


UNIT = BoxesAndScores("boxes-and-scores", pixels=False)
PIXELS = BoxesAndScores("boxes-and-scores-pixels", pixels=True)
