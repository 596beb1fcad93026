"""Where an insect is expected: a Kalman filter of constant velocity, the same for x and y, in plain numbers.

Written out, because on 2 x 2 matrices the calls of NumPy, or of cv2.KalmanFilter, cost more than what they compute.
"""

from __future__ import annotations

from dataclasses import dataclass

# in the insect's own sizes: how far a place is read wrongly, and how quickly speed changes (per second squared)
_READ, _SWERVE = 0.15, 20.0
_SPEED = 4.0  # sizes a second, before anything is known of it


@dataclass
class KalmanFilter:
    """Place and speed in pixels and seconds, and the covariance [[a, b], [b, c]] of both along one axis."""

    x: float
    y: float
    vx: float
    vy: float
    a: float
    b: float
    c: float

    @classmethod
    def begin(cls, x: float, y: float, size: float) -> KalmanFilter:
        """At rest, with any speed to be expected."""
        return cls(x, y, 0.0, 0.0, (_READ * size) ** 2, 0.0, (_SPEED * size) ** 2)

    def predict(self, dt: float, size: float) -> None:
        """`dt` seconds later."""
        self.x += self.vx * dt
        self.y += self.vy * dt
        process_noise = (_SWERVE * size) ** 2
        self.a += 2 * self.b * dt + self.c * dt**2 + process_noise * dt**4 / 4
        self.b += self.c * dt + process_noise * dt**3 / 2
        self.c += process_noise * dt**2

    def correct(self, x: float, y: float, size: float) -> None:
        """It was seen at a place."""
        noisy = self.a + (_READ * size) ** 2
        gain, swing = self.a / noisy, self.b / noisy
        dx, dy = x - self.x, y - self.y
        self.x, self.y = self.x + gain * dx, self.y + gain * dy
        self.vx, self.vy = self.vx + swing * dx, self.vy + swing * dy
        self.c -= swing * self.b
        self.a, self.b = self.a * (1 - gain), self.b * (1 - gain)
