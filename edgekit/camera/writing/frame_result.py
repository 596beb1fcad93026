"""What a camera's loop hands to the output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edgekit.camera.events.visits import VisitEvent
from edgekit.vision.image import Frame
from edgekit.vision.results import Detections


@dataclass(frozen=True, eq=False)
class FrameResult:
    """What came of a frame.

    Attributes:
        frame: None where it was given up because the disk is slow.
        shown: what is drawn on it.
        pictured: visits that this frame shows best so far.
        model: what this and later events of the camera say about the model, where that changed.
        found: what the model found in it, under its own labels.
        camera: whose it is; nothing where there is one only.
    """

    frame: Frame | None
    shown: Detections
    at: float
    events: tuple[VisitEvent, ...] = ()
    pictured: tuple[str, ...] = ()
    model: Mapping[str, str] | None = None
    found: Detections | None = None
    camera: str = ""
