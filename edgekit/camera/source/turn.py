"""Frames the right way up, where the camera hangs otherwise."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgekit.camera.config import SourceConfig
from edgekit.vision.image import Frame


def turner(config: SourceConfig) -> Callable[[Frame], Frame]:
    """What turns frames by `rotate`, clockwise, and then mirrors them by `flip`; new memory where it does anything."""
    turns, flip = config.rotate // 90, config.flip
    if not turns and not flip:
        return lambda frame: frame

    def turn(frame: Frame) -> Frame:
        turned = np.rot90(frame, -turns)
        turned = turned[:, ::-1] if flip == "horizontal" else turned[::-1] if flip == "vertical" else turned
        return np.ascontiguousarray(turned)

    return turn
