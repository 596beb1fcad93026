"""Sets of boxes: nets whose Q queries each give a box or nothing, and nets that sort and suppress by themselves.

DETR (Carion et al. 2020): logits [N, Q, C + 1] with "no object" last, boxes [N, Q, 4] as centre and size of 0 to 1.
RT-DETR, Deformable DETR, RF-DETR and the like: logits [N, Q, C] behind a sigmoid each, boxes as DETR's.
Ultralytics' RT-DETR: [N, Q, 4 + C] in one, with the sigmoid in the file, and [N, K, 6] from version 8.4 on: centre and
size of 0 to 1, score, label. YOLO26 and YOLOv10: [N, K, 6] too, but x1 y1 x2 y2 in pixels; the head that the exporter
names tells the two apart. Exports with suppression in the file: boxes [N, K, 4], scores [N, K], labels [N, K].
"""

from __future__ import annotations

from typing import Any

from edgekit.graph.decoders.base import Reading, Seen
from edgekit.graph.decoders.kinds.described import Described
from edgekit.graph.decoders.recognise import batched, cells, class_names, last_kind
from edgekit.vision.spec import TensorSpec

MOST = 1000  # queries; a net with anchors has more places


def scores_and_boxes(seen: Seen) -> tuple[TensorSpec, TensorSpec] | None:
    """The outputs [N, P, C] and [N, P, 4] of a net with two, by their names where C is 4 too."""
    if len(seen.outputs) != 2:
        return None
    sides = [batched(spec, 3) for spec in seen.outputs]
    if sides[0] is None or sides[1] is None or sides[0][0] != sides[1][0]:
        return None
    fit = [i for i in (0, 1) if (sides[i] or (0, 0))[1] == 4]
    if len(fit) == 2:
        fit = [i for i in fit if any(word in seen.outputs[i].name.lower() for word in ("box", "loc", "bbox", "reg"))]
    return (seen.outputs[1 - fit[0]], seen.outputs[fit[0]]) if len(fit) == 1 else None


class Queries(Described):
    """Two outputs of Q queries. Args: no_object: whether the last column is "no object", and a softmax is due."""

    expects = f"logits [N, Q, C] or [N, Q, C + 1] and boxes [N, Q, 4], Q up to {MOST}"
    duplicates = False

    def __init__(self, name: str, no_object: bool) -> None:
        self.name = name
        self.no_object = no_object

    def read(self, seen: Seen, task: str) -> list[Reading]:
        pair = scores_and_boxes(seen)
        if pair is None:
            return []
        places, columns = (int(side) for side in pair[0].shape[1:])
        if places > MOST or columns - self.no_object < 1:
            return []
        known = len(class_names(seen.props))
        if known and known != columns - self.no_object:
            return []
        done = last_kind(seen.model, pair[0].name) if seen.model is not None else ""
        if done in ("Softmax", "Sigmoid") and (done == "Softmax") != self.no_object:
            return []
        activation = "none" if done in ("Softmax", "Sigmoid") else "softmax" if self.no_object else "sigmoid"
        settings: dict[str, Any] = {"unit": "picture", "activation": activation}
        settings |= {"background": "last"} if self.no_object else {"every": True}
        roles = {"scores": pair[0].name, "boxes": pair[1].name}
        return [Reading(self.name, task, roles, columns - self.no_object, settings)]


class QueriesInOne(Described):
    """Ultralytics' RT-DETR."""

    name = "rt-detr-ultralytics"
    expects = f"one output [N, Q, 4 + C], Q up to {MOST}"
    duplicates = False

    def read(self, seen: Seen, task: str) -> list[Reading]:
        sides = batched(seen.outputs[0], 3) if len(seen.outputs) == 1 else None
        if sides is None or sides[0] > MOST or not 5 <= sides[1] <= MOST or sides[0] == cells(seen.size):
            return []
        known = len(class_names(seen.props))
        if (known and known != sides[1] - 4) or (not known and sides[1] == 6) or _end_to_end(seen):
            return []
        settings = {"unit": "picture", "box_columns": [0, 4], "score_columns": [4, sides[1]]}
        output = seen.outputs[0].name
        return [Reading(self.name, task, {"scores": output, "boxes": output}, sides[1] - 4, settings)]


class Finished(Described):
    """YOLO26, YOLOv10 and newer RT-DETRs of Ultralytics.

    Args:
        of_picture: whether boxes are centre and size of 0 to 1, as that RT-DETR has them.
    """

    duplicates = False

    def __init__(self, name: str, of_picture: bool) -> None:
        self.name = name
        self.of_picture = of_picture
        box = "centre and size of 0 to 1" if of_picture else "x1 y1 x2 y2 in pixels"
        self.expects = f"one output [N, K, 6], K up to {MOST}: {box}, score, label"

    def read(self, seen: Seen, task: str) -> list[Reading]:
        sides = batched(seen.outputs[0], 3) if len(seen.outputs) == 1 else None
        names = len(class_names(seen.props))
        if sides is None or sides[0] > MOST or sides[1] != 6 or sides[0] == cells(seen.size):
            return []
        # without a head's name the two look alike; an exporter that names classes and no head is older than RT-DETR's
        head = seen.props.get("head", "")
        if (head or names) and self.of_picture != (head == RT_HEAD):
            return []
        columns = {"box_columns": [0, 4], "score_columns": [4, 5], "label_columns": [5, 6]}
        output = seen.outputs[0].name
        roles = {"scores": output, "boxes": output, "labels": output}
        box = {"format": "cxcywh", "unit": "picture"} if self.of_picture else {"format": "xyxy"}
        return [Reading(self.name, task, roles, names, {**box, **columns})]


RT_HEAD = "RTDETRDecoder"


def _end_to_end(seen: Seen) -> bool:
    """Whether Ultralytics' file says that each row is a box of one class, where two classes would look the same."""
    return seen.props.get("end2end", "").lower() == "true"


class Detections(Described):
    """Boxes, scores and labels apart, as edgekit's own files and those with NonMaxSuppression behind have them."""

    name = "detections"
    expects = "boxes [N, K, 4], scores [N, K] and labels [N, K], x1 y1 x2 y2 in pixels"
    duplicates = False

    def read(self, seen: Seen, task: str) -> list[Reading]:
        boxes = [spec for spec in seen.outputs if (batched(spec, 3) or (0, 0))[1] == 4]
        if len(boxes) != 1:
            return []
        rows = [spec for spec in seen.outputs if tuple(spec.shape[1:]) == tuple(boxes[0].shape[1:2])]
        scores = [spec for spec in rows if "score" in spec.name.lower() or "conf" in spec.name.lower()]
        labels = [spec for spec in rows if "label" in spec.name.lower() or "class" in spec.name.lower()]
        if len(scores) != 1 or len(labels) != 1 or scores == labels:
            return []
        roles = {"scores": scores[0].name, "boxes": boxes[0].name, "labels": labels[0].name}
        return [Reading(self.name, task, roles, len(class_names(seen.props)), {"format": "xyxy"})]


DETR = Queries("detr", no_object=True)
RT_DETR = Queries("rt-detr", no_object=False)
IN_ONE = QueriesInOne()
END_TO_END = Finished("end-to-end", of_picture=False)
RT_END_TO_END = Finished("rt-detr-end-to-end", of_picture=True)
DETECTIONS = Detections()
