"""Frozen within 10 to 12 s; an hour of a still scene is never frozen; black nights are dark."""

import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgekit.camera.config import SourceConfig
from edgekit.camera.health import Health
from edgekit.camera.rate import RateController
from edgekit.camera.source.capture import intra_of
from edgekit.camera.source.feed.frozen import FrozenWatch
from edgekit.camera.source.feed.live import LiveFeed
from edgekit.camera.source.uri import Source
from edgekit.camera.thermal import ThermalLadder
from tests.camera.conftest import ListGrabber, config_of, wait_for


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


@pytest.mark.parametrize("minutes", [6, pytest.param(60, marks=pytest.mark.slow)])
def test_an_hour_of_a_still_scene_with_a_quiet_sensor_is_never_frozen(minutes: int) -> None:
    watch, still, rng = FrozenWatch(10), scene(), np.random.default_rng(1)
    for i in range(minutes * 60 * 2):
        noise = rng.standard_normal((1, 160, 1), dtype=np.float32) * 0.3  # a third of a grey level, by column
        watch.see(np.clip(still + noise, 0, 255).astype(np.uint8), i / 2)
        assert not watch.frozen


def test_a_black_night_is_dark_and_not_frozen() -> None:
    watch = FrozenWatch(10)
    for i in range(100):
        watch.see(np.full((90, 160, 3), 2, np.uint8), i)
    assert watch.dark
    assert not watch.frozen


def noisy(rng: np.random.Generator, still: np.ndarray, sigma: float = 2) -> np.ndarray:
    return np.clip(still + rng.normal(0, sigma, still.shape), 0, 255).astype(np.uint8)


def clock(frame: np.ndarray, second: int) -> np.ndarray:
    """Burns the seconds in, as a strip of the upper edge."""
    shown = frame.copy()
    shown[2:8, 4:60] = 0
    shown[2:8, 4 + second % 50 : 10 + second % 50] = 250
    return shown


def flagged(frames: list[np.ndarray], fps: float, watch: FrozenWatch, start: float = 0) -> float | None:
    """Seconds until it is called frozen."""
    for i, frame in enumerate(frames):
        watch.see(frame, start + i / fps)
        if watch.frozen:
            return i / fps
    return None


def test_a_clock_burnt_into_a_frozen_picture_does_not_hide_it() -> None:
    watch, still, rng = FrozenWatch(10), scene(), np.random.default_rng(1)
    living = [clock(noisy(rng, still), i // 2) for i in range(600)]  # five minutes
    assert flagged(living, 2, watch) is None
    frozen = [clock(living[-1], i // 2) for i in range(200)]
    after = flagged(frozen, 2, watch, 300)
    assert after is not None
    assert 9.5 <= after <= 12


def test_where_nobody_saw_it_alive_a_clock_over_one_picture_takes_a_minute() -> None:
    watch, frame = FrozenWatch(10), scene().astype(np.uint8)
    after = flagged([clock(frame, i // 2) for i in range(400)], 2, watch)
    assert after is not None
    assert 60 <= after <= 62


def test_insects_before_a_wall_that_the_camera_smoothes_are_no_clock() -> None:
    """Cameras that take noise away give equal pictures but for what moves; a bee does not stay in one place."""
    watch, frame, rng = FrozenWatch(10), scene().astype(np.uint8), np.random.default_rng(2)
    frames = []
    for _ in range(600):
        shown = frame.copy()
        for _ in range(2):
            x, y = rng.integers(0, 150), rng.integers(0, 80)
            shown[y : y + 6, x : x + 6] = rng.integers(0, 255, (6, 6, 3))
        frames.append(shown)
    assert flagged(frames, 2, watch) is None


def test_a_lamp_in_a_black_night_is_not_frozen_for_the_black_around_it() -> None:
    watch, rng = FrozenWatch(10), np.random.default_rng(3)
    frames = []
    for _ in range(600):
        shown = np.zeros((90, 160, 3), np.uint8)
        shown[40:50, 70:80] = rng.integers(100, 120, (10, 10, 3))
        frames.append(shown)
    assert flagged(frames, 2, watch) is None


def test_frames_that_refer_to_others_prove_nothing() -> None:
    """As an H.265 stream of a still scene does: all of a group are equal, the next group has noise of its own."""
    watch, still, rng = FrozenWatch(10), scene(), np.random.default_rng(4)
    for group in range(5):
        frame = noisy(rng, still)
        for i in range(250):
            watch.see(frame, group * 25 + i / 10, i == 0)
            assert not watch.frozen
    frozen = [watch.see(frame, 125 + i / 10, i % 250 == 0) or watch.frozen for i in range(600)]
    assert frozen.index(True) == 0  # the first key frame equal to the one 25 s before


def test_without_the_kind_of_frames_it_takes_six_times_as_long() -> None:
    watch, frame = FrozenWatch(10), scene().astype(np.uint8)
    after = next(i for i in range(200) if watch.see(frame, i, None) or watch.frozen)
    assert after == 60


@pytest.mark.slow
@pytest.mark.parametrize(("still", "frozen"), [(False, False), (True, True)])
def test_a_real_stream_in_h265(still: bool, frozen: bool, tmp_path: Path) -> None:
    """A minute of a noisy, still scene and a minute of one picture, groups of 5 s, as OpenCV reads them."""
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs the program ffmpeg, which encodes the stream")
    rng, path = np.random.default_rng(5), tmp_path / "a.mkv"
    command = ["ffmpeg", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "bgr24", "-s", "160x90", "-r", "10"]
    command += ["-i", "-", "-c:v", "libx265", "-x265-params", "log-level=none:keyint=50:scenecut=0:pools=1", str(path)]
    smooth = cv2.GaussianBlur(scene(), (0, 0), 8)  # little to code: then the noise is left out
    one = noisy(rng, smooth, 1)
    frames = b"".join((one if still else noisy(rng, smooth, 1)).tobytes() for _ in range(600))
    subprocess.run(command, input=frames, check=True)
    capture, watch, seen, equal, last = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG), FrozenWatch(10), [], 0, None
    for i in range(600):
        good, frame = capture.read()
        assert good
        equal += last is not None and bool((frame == last).all())
        watch.see(frame, i / 10, intra_of(capture))
        seen.append(watch.frozen)
        last = frame
    assert equal > 100  # bit-equal to the one before
    assert any(seen) == frozen


def test_a_black_picture_is_not_ready() -> None:
    black = ListGrabber(x for _ in range(10**6) for x in (0.01, np.full((48, 64, 3), 2, np.uint8)))
    feed = LiveFeed(Source("device", "/dev/null"), SourceConfig(), lambda *_: black, lambda _: None)
    health = Health()
    health.feed, health.rate = feed, RateController(config_of(), 0.0, ThermalLadder(config_of().thermal))
    health.looked(0.1, 0.1)
    feed.start()
    wait_for(lambda: feed.state() == "dark")
    assert health.alive()[0]
    assert health.ready() == (False, "camera dark")
    feed.stop()
