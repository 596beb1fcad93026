"""What moves, and whether it is of an insect's size: much cheaper than a run of the net."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.camera.config import MotionConfig
from edgekit.vision.image import Frame

_WIDTH = 320  # pixels; an insect of 12 pixels at 640 is 6 here
_LEARN = 0.05  # share of a new frame in the background
_EVERYTHING = 0.35  # share of the frame: the light changed or the camera moved


@dataclass(frozen=True, eq=False)
class Motion:
    """What moved since the background was learnt.

    Attributes:
        boxes: float32 [M, 4] x1 y1 x2 y2 in the frame's pixels, of patches within the size band.
        share: of the frame that differs, any size, 0..1.
    """

    boxes: NDArray[np.float32]
    share: float

    @property
    def moved(self) -> bool:
        """Whether a look is worth it: a patch of the right size, or a change of everything, which may hide one."""
        return len(self.boxes) > 0 or self.share > _EVERYTHING


class MotionWatch:
    """Compares each frame with a running average of those before. Not for several sources."""

    def __init__(self, config: MotionConfig) -> None:
        import cv2

        self._cv2: Any = cv2
        self._config = config
        self._background: NDArray[np.float32] | None = None

    def see(self, frame: Frame, ignored: NDArray[np.bool_] | None = None) -> Motion:
        """Motion in uint8 [h, w, 3] BGR.

        Args:
            ignored: bool [h', w'] of any size, True where motion does not count.
        """
        cv2, (height, width) = self._cv2, frame.shape[:2]
        small_w = min(width, _WIDTH)
        small_h = max(1, round(height * small_w / width))
        small = cv2.resize(frame, (small_w, small_h), interpolation=cv2.INTER_LINEAR)
        grey = cv2.GaussianBlur(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), (3, 3), 0)
        if self._background is None or self._background.shape != grey.shape:
            self._background = grey.astype(np.float32)
            return Motion(np.empty((0, 4), np.float32), 1.0)  # nothing known yet: look
        mask = (cv2.absdiff(grey, cv2.convertScaleAbs(self._background)) > self._config.contrast).astype(np.uint8)
        if ignored is not None:
            mask[cv2.resize(ignored.astype(np.uint8), (small_w, small_h), interpolation=cv2.INTER_NEAREST) > 0] = 0
        share = float(mask.mean())
        # after a jump of the light the old background would call everything motion for seconds
        cv2.accumulateWeighted(grey, self._background, 0.5 if share > _EVERYTHING else _LEARN)
        # patches are joined over a pixel's gap, and measured without what that adds
        count, labels, stats, _ = cv2.connectedComponentsWithStats(cv2.dilate(mask, np.ones((3, 3), np.uint8)), None, 8)
        areas = np.bincount(labels[mask > 0], minlength=count)
        found = [
            (x, y, x + w, y + h)
            for (x, y, w, h, _), area in zip(stats[1:count], areas[1:], strict=True)
            if self._config.smallest <= area / grey.size <= self._config.largest
        ]
        scale = np.array([width / small_w, height / small_h] * 2, np.float32)
        return Motion(np.array(found, np.float32).reshape(-1, 4) * scale, share)
