"""How many looks each of several cameras gets where the model is too slow for all, or one of them hangs."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit.camera.config import CameraConfig
from edgekit.camera.detect.detectors import Detector
from edgekit.camera.detect.motion import Motion
from edgekit.camera.rules import Model
from edgekit.camera.source.grabber import Grabber
from edgekit.vision.image import Frame
from edgekit.vision.results import Detections
from tests.camera.conftest import ListGrabber, SleepyDetector, spot
from tests.camera.test_fleet import FOUR, Fleet, fleet, running

HANGS = 2  # blue of the first pixel in a frame that makes the detector hang


def paced(fps: float, blue: int = 0, height: int = 120, width: int = 160) -> ListGrabber:
    """A frame each 1 / `fps` seconds, on a grid that a late frame does not shift."""

    def things() -> Any:
        begun, number = time.monotonic(), 0
        while True:
            number += 1
            yield max(0.0, begun + number / fps - time.monotonic())
            frame = spot(20 + number % 100, 60, height, width)
            frame[0, 0, 0] = blue
            yield frame

    return ListGrabber(things())


def looks(made: Fleet, seconds: float, settle: float = 1.0) -> dict[str, int]:
    """By camera how many looks there were in so many seconds, once all have begun."""
    time.sleep(settle)
    before = {name: made.looks(name) for name in made.camera.lookouts}
    time.sleep(seconds)
    return {name: made.looks(name) - before[name] for name in made.camera.lookouts}


def test_a_model_that_is_too_slow_for_all_looks_for_all_alike() -> None:
    with running(Fleet(fleet(names=FOUR), lambda _: paced(50), SleepyDetector(0.02))) as four:
        found = looks(four, 2.0)
    assert min(found.values()) >= max(found.values()) - 2, found
    assert max(found.values()) < 40, "it was not too slow"


def test_a_greedy_camera_takes_nothing_from_the_others() -> None:
    """25 looks a second are possible; three cameras want 5 each, and the fourth as many as it can get."""
    with running(
        Fleet(fleet(names=FOUR), lambda name: paced(200 if name == "west" else 5), SleepyDetector(0.04))
    ) as four:
        found = looks(four, 2.4)
    assert all(found[name] >= 0.8 * 12 for name in FOUR[:3]), found
    assert found["west"] > max(found[name] for name in FOUR[:3])


class Hanging(Detector):
    """Another detector, but that it hangs in the frames of one camera."""

    def __init__(self, inner: Detector, over: threading.Event) -> None:
        self._inner, self._over = inner, over

    def look(self, frame: Frame, motion: Motion | None) -> Detections:
        if frame[0, 0, 0] == HANGS:
            self._over.wait(120)
        return self._inner.look(frame, motion)


def shipped(over: threading.Event) -> Callable[[CameraConfig], Model]:
    """The model that comes with edgekit, in `Hanging`."""
    from edgekit.api.watching import open_model

    def opened(config: CameraConfig) -> Model:
        model = open_model(config, lambda _: None)
        return Model(lambda c, floor: Hanging(model.make(c, floor), over), model.classes, model.thresholds, model.info)

    return opened


@pytest.mark.slow
@pytest.mark.alone
def test_four_cameras_at_five_looks_a_second_and_one_that_hangs() -> None:
    """Real looks of the shipped model at frames of 640x360, 20 s: of four cameras, then beside a fifth whose look hangs
    and a sixth whose source does."""
    pytest.importorskip("onnxruntime")
    seconds, over, gone = 20.0, threading.Event(), threading.Event()
    model = Path(__file__).parents[2] / "models" / "centernet-tiny.onnx"
    text = f"rate.fps = 5\nmodel.path = '{model}'\nmodel.threads = 1"

    class Silent(Grabber):
        def read(self) -> Frame | None:
            gone.wait(120)
            return None

        def close(self) -> None:
            return

    def source(name: str) -> Grabber:
        return Silent() if name == "silent" else paced(10, HANGS if name == "hung" else 0, 360, 640)

    found = {}
    for names in (FOUR, (*FOUR, "hung", "silent")):
        over.clear()
        gone.clear()
        with running(Fleet(fleet(text, names), source, shipped(over))) as made:
            begun = time.process_time()
            found[len(names)] = looks(made, seconds, 4.0)
            used = time.process_time() - begun
            ms = {name: one.health.status()["model"]["ms_p50"] for name, one in made.camera.lookouts.items()}
            print(f"{len(names)} cameras, looks in {seconds:g} s: {found[len(names)]}; p50 ms {ms}; CPU {used:.1f} s; "
                  f"turns not waited for: {made.camera.turns.abandoned}")  # fmt: skip
            over.set()
            gone.set()
    for rates in found.values():
        four = [rates[name] for name in FOUR]
        assert min(four) >= 0.9 * max(four), rates
    assert sum(found[6][name] for name in FOUR) >= 0.9 * sum(found[4].values()), found
    assert (found[6]["hung"], found[6]["silent"]) == (0, 0)
