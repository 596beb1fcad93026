"""What is drawn of the tracks on a frame."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgekit.camera.track.tracker import Track
from edgekit.vision.results import Detections


def drawn(tracks: list[Track], found: Detections | None, min_score: Mapping[str, float]) -> Detections:
    """The tracks seen in a frame as boxes, best first; confirmed ones with their number, of others only strong ones.

    Args:
        found: what the model saw; None, and nothing is drawn, where it did not look.
        min_score: by label, in the order of the classes.
    """
    if found is None or not tracks:
        return nothing()
    shown = sorted((t for t in tracks if t.confirmed or t.score >= min_score[t.label]), key=lambda t: -t.score)
    index = {name: i for i, name in enumerate(min_score)}
    return Detections(
        np.array([t.box for t in shown], np.float32).reshape(-1, 4),
        np.array([t.score for t in shown], np.float32),
        np.array([index[t.label] for t in shown], np.int64),
        tuple(f"{t.label} #{t.ident}" if t.confirmed else f"{t.label}?" for t in shown),
    )


def nothing() -> Detections:
    """No detection."""
    return Detections(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64), ())
