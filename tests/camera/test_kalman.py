"""The filter in plain numbers against its matrices."""

import numpy as np
import pytest

from edgekit.camera.track.kalman import _READ, _SPEED, _SWERVE, KalmanFilter


def test_it_is_the_kalman_filter_of_the_textbook() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        size, place = float(rng.uniform(5, 50)), rng.uniform(0, 500, 2)
        course = KalmanFilter.begin(*place.tolist(), size)
        state = np.stack([place, np.zeros(2)])
        spread = size**2 * np.diag([_READ**2, _SPEED**2])
        for _ in range(20):
            dt = float(rng.uniform(0, 0.5))
            step = np.array([[1, dt], [0, 1]])
            process_noise = (_SWERVE * size) ** 2 * np.array([[dt**4 / 4, dt**3 / 2], [dt**3 / 2, dt**2]])
            state, spread = step @ state, step @ spread @ step.T + process_noise
            course.predict(dt, size)
            if rng.random() < 0.7:
                seen = rng.uniform(0, 500, 2)
                gain = spread[:, 0] / (spread[0, 0] + (_READ * size) ** 2)
                state = state + gain[:, None] * (seen - state[0])
                spread = spread - np.outer(gain, spread[0])
                course.correct(*seen.tolist(), size)
            got = [course.x, course.y, course.vx, course.vy, course.a, course.b, course.c]
            want = [*state.ravel(), spread[0, 0], spread[0, 1], spread[1, 1]]
            assert got == pytest.approx(want, rel=1e-7, abs=1e-7)


def test_it_leads_to_where_a_steady_insect_will_be() -> None:
    course = KalmanFilter.begin(0, 100, 10)
    for i in range(1, 10):
        course.predict(0.1, 10)
        course.correct(20 * i, 100 - 5 * i, 10)
    course.predict(0.1, 10)
    assert (course.x, course.y) == pytest.approx((200, 50), abs=1)
