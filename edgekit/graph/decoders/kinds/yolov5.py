"""YOLOv5 and YOLOv7 as they are usually exported: [N, P, 5 + C], decoded, with three anchors a cell.

Centre and size in pixels, objectness and classes behind their sigmoid. Grids have strides 8, 16 and 32, and 64 in the
larger nets. A file that also gives prototypes of masks, [N, M, h, w], has M coefficients behind the classes; the maps
that the places were decoded from may be there too.
"""

from __future__ import annotations

from edgekit.graph.decoders.base import Reading, Seen
from edgekit.graph.decoders.kinds.described import Described
from edgekit.graph.decoders.recognise import STRIDES, batched, cells, class_names

ANCHORS = 3


class YoloV5(Described):
    """As above."""

    name = "yolov5"
    expects = "an output [N, P, 5 + C], P = three times the cells of strides 8, 16 and 32"

    def read(self, seen: Seen, task: str) -> list[Reading]:
        places = {ANCHORS * cells(seen.size, strides) for strides in (STRIDES, (*STRIDES, 64))} - {0}
        rows = [spec for spec in seen.outputs if (batched(spec, 3) or (0,))[0] in places]
        others = [spec for spec in seen.outputs if spec not in rows and batched(spec, 5) is None]
        prototypes = [sides for spec in others if (sides := batched(spec, 4)) is not None]
        if len(rows) != 1 or len(prototypes) != len(others) or len(others) > 1:
            return []
        masks = prototypes[0][0] if prototypes else 0
        output, columns = rows[0].name, int(rows[0].shape[2])
        classes = columns - 5 - masks
        known = len(class_names(seen.props))
        if classes < 1 or (known and known != classes):
            return []
        settings = {"box_columns": [0, 4], "objectness_columns": [4, 5], "score_columns": [5, 5 + classes]}
        notes = ("the masks of its instances are left out: boxes alone are given",) if masks else ()
        return [
            Reading(self.name, task, dict.fromkeys(("boxes", "objectness", "scores"), output), classes, settings, notes)
        ]


YOLOV5 = YoloV5()
