"""Frozen within 10 to 12 s; an hour of a still scene is never frozen; black nights are dark."""

import numpy as np

from edgekit.camera.source.feed.frozen import FrozenWatch


def scene(height: int = 90, width: int = 160) -> np.ndarray:
    return np.random.default_rng(0).uniform(20, 220, (height, width, 3)).astype(np.float32)


def test_a_repeated_picture_is_flagged_after_ten_seconds() -> None:
    watch, frame = FrozenWatch(10), scene().astype(np.uint8)
    flagged = None
    for i in range(20 * 20):
        watch.see(frame.copy(), i / 20)
        if watch.frozen and flagged is None:
            flagged = i / 20
    assert flagged is not None
    assert 10 <= flagged <= 12


def test_it_recovers_with_the_first_other_frame() -> None:
    watch, frame = FrozenWatch(10), scene().astype(np.uint8)
    for i in range(15):
        watch.see(frame, i)
    assert watch.frozen
    watch.see(frame + 1, 15)
    assert not watch.frozen


def test_an_hour_of_a_still_scene_with_a_quiet_sensor_is_never_frozen() -> None:
    watch, still, rng = FrozenWatch(10), scene(), np.random.default_rng(1)
    for i in range(3600 * 2):
        noise = rng.standard_normal((1, 160, 1), dtype=np.float32) * 0.3  # a third of a grey level, by column
        watch.see(np.clip(still + noise, 0, 255).astype(np.uint8), i / 2)
        assert not watch.frozen


def test_a_black_night_is_dark_and_not_frozen() -> None:
    watch = FrozenWatch(10)
    for i in range(100):
        watch.see(np.full((90, 160, 3), 2, np.uint8), i)
    assert watch.dark
    assert not watch.frozen
