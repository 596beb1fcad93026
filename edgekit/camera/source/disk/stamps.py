"""A file's own time: from the stamps of its frames to seconds that begin at 0, rise, and hold no jump of a clock."""

from __future__ import annotations

import math
from statistics import median

# FFmpeg takes a longer step for a jump of the clock: `-dts_delta_threshold` in formats whose clock may jump (transport
# and program streams, FLV), `-dts_error_threshold` in the others, where a long gap is a gap (ffmpeg.html, both options)
LONGEST = {"ts": 10.0, "ps": 10.0, "flv": 10.0}
LONGEST_ELSEWHERE = 30 * 3600.0
_BACK = 0.1  # seconds that frames may be out of order; more is a jump
_LEAST = 0.001  # seconds between two frames
_STEPS = 9  # of the newest, whose median is taken for the step that a jump hides


class Stamps:
    """Turns positions in a file into seconds since its first frame.

    Args:
        fps: frames a second, where positions do not tell.
        container: as `media.container_of`.
    """

    def __init__(self, fps: float, container: str = "") -> None:
        self._nominal = 1 / fps
        self._longest = LONGEST.get(container, LONGEST_ELSEWHERE)
        self._steps: list[float] = []
        self._zero: float | None = None  # the position that is 0 s
        self._before = 0.0
        self._missed = 0
        self.at = 0.0

    @property
    def step(self) -> float:
        """Seconds from one frame to the next, as they have been lately."""
        return median(self._steps) if self._steps else self._nominal

    def missed(self) -> None:
        """A frame could not be decoded. Where positions tell nothing its time passes all the same."""
        self._missed += 1

    def take(self, position: float) -> float:
        """Seconds of the frame at `position`, as the reader gave it in seconds."""
        missed, self._missed = self._missed, 0
        if not math.isfinite(position):
            position = self._before
        if self._zero is None:
            self._zero, self._before = position, position
            self.at = missed * self._nominal
            self._zero -= self.at
            return self.at
        step, self._before = position - self._before, position
        if step == 0:  # no stamps, or the same twice
            self.at += self.step * (1 + missed)
        elif -_BACK < step <= self._longest:
            at = max(self.at + _LEAST, position - self._zero)
            self._steps = [*self._steps[1 - _STEPS :], at - self.at]
            self.at = at
        else:  # the clock jumped
            self.at += self.step * (1 + missed)
            self._zero = position - self.at
        return self.at
