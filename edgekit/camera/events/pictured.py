"""A visit at its best: its picture, with and without what was found drawn on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgekit.vision.image import Frame
from edgekit.vision.results import Detections


@dataclass(frozen=True)
class Pictured:
    """JPEGs of one frame.

    Attributes:
        drawn: with boxes and labels.
        plain: with nothing on it; None: not kept.
        objects: what was found in it, as `objects_of`.
    """

    drawn: bytes
    plain: bytes | None
    objects: tuple[dict[str, Any], ...]


def objects_of(frame: Frame, found: Detections | None) -> tuple[dict[str, Any], ...]:
    """What was found in a frame, for an event: label, score, and the box as shares of width and height, x1 y1 x2 y2."""
    height, width = frame.shape[:2]
    return tuple(
        {
            "label": one.name,
            "score": round(one.score, 4),
            "box": [round(v / size, 5) for v, size in zip(one.box, (width, height, width, height), strict=True)],
        }
        for one in found or ()
    )
