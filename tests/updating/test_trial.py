"""When a model on trial is kept, and when it is given back: by a clock of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edgekit.camera.config import CameraConfig, parse_config
from edgekit.errors import BusyError
from edgekit.updating.install import install
from edgekit.updating.record import last_outcome, read_record
from edgekit.updating.trial import KEEP, Judge, Seen
from edgekit.updating.watch import Watch
from tests.updating.conftest import Hive, passes

RULES = parse_config("", "a test", ["update.trial_minutes=1", "update.trial_looks=50"])
NEVER = float("inf")


def judged(
    see: Callable[[int], Seen], seconds: int = 300, standing: float = 0.02, rules: CameraConfig = RULES
) -> tuple[str | None, int]:
    """The verdict on a trial that is looked at once a second, and after how many seconds."""
    before = Seen("old", 50, 0, [standing] * (50 if standing else 0), 12.0)
    judge = Judge(rules, "new", before, 0.0)
    for at in range(seconds):
        if (verdict := judge.see(see(at), float(at))) is not None:
            return verdict, at
    return None, seconds


def seen(looks: int, failures: int = 0, taken: float = 0.02, patience: float = 12.0, model: str = "new") -> Seen:
    return Seen(model, 1000 + looks, 7 + failures, [9.0] * 50 + [taken] * looks, patience)


def test_a_good_one_is_kept_when_both_time_and_looks_are_over() -> None:
    assert judged(lambda at: seen(5 * at)) == (KEEP, 60)
    assert judged(lambda at: seen(at // 2)) == (KEEP, 100)
    assert judged(lambda at: seen(5 * at, 1)) == (KEEP, 60), "one bad frame"


def test_one_that_fails_on_every_frame_is_given_back_within_seconds() -> None:
    assert judged(lambda at: seen(0, 5 * at)) == ("it failed on 5 frames in a row", 1)
    assert judged(lambda at: seen(0, at)) == ("it failed on 3 frames in a row", 3)


def test_one_that_fails_now_and_then_is_given_back() -> None:
    verdict, at = judged(lambda at: seen(9 * at, at))
    assert verdict == "it failed on 3 of 30 frames"
    assert at == 3


def test_one_that_hangs_is_given_back_unless_no_frame_comes() -> None:
    assert judged(lambda at: seen(5 * min(at, 4))) == ("it has not looked at a frame for 13 s", 17)
    assert judged(lambda at: seen(5 * min(at, 4), patience=40)) == ("it has not looked at a frame for 41 s", 45)
    assert judged(lambda at: seen(5 * min(at, 4), patience=NEVER)) == (None, 300), "the camera is away"
    away = judged(lambda at: seen(5 * min(at, 4) if at < 100 else 5 * at, patience=NEVER if 4 < at < 100 else 12))
    assert away == (KEEP, 100)


def test_a_slow_one_is_given_back_but_not_by_its_first_looks() -> None:
    verdict, at = judged(lambda at: seen(5 * at, taken=0.05))
    assert verdict == "a look takes 50.0 ms, 2.5 times as long as with the model in use, over update.slowest = 2"
    assert at == 6
    assert judged(lambda at: seen(5 * at, taken=0.039))[0] == KEEP
    assert judged(lambda at: seen(5 * at, taken=0.05), standing=0)[0] == KEEP, "nothing to compare with"


def test_one_that_the_camera_does_not_take_is_given_back() -> None:
    assert judged(lambda at: seen(5 * at, model="old")) == ("the camera could not take it", 21)
    assert judged(lambda at: seen(5 * at, model="old" if at < 9 else "new")) == (KEEP, 69)


class Box:
    """A camera that is told to open its model again, and a clock."""

    def __init__(self, hive: Hive) -> None:
        self.hive, self.said, self.reloads, self.now = hive, list[str](), 0, 0.0
        self.looks = self.failures = 0
        self.watch = self.made()

    def made(self) -> Watch:
        return Watch(self.hive.models, lambda: self.hive.config, self.said.append, lambda: self.now)

    def step(self, seconds: float = 1.0) -> None:
        self.now += seconds
        self.watch.step(self.seen, self.reload)

    def seen(self) -> Seen:
        sha256 = self.hive.sha256()
        return Seen(sha256, self.looks, self.failures, [0.01] * self.looks, 12.0)

    def reload(self) -> None:
        self.reloads += 1


def test_the_running_camera_takes_an_update_and_keeps_it(hive: Hive, package: Path) -> None:
    box = Box(hive)
    box.step()
    assert (box.said, box.reloads) == ([], 0)
    install(package, hive.config, passes)
    box.step()
    assert (box.said, box.reloads) == (["update: better.onnx is on trial"], 1)
    for _ in range(61):
        box.looks += 2
        box.step(10)
    assert box.said[1:] == ["update: better.onnx is kept"]
    assert box.reloads == 1, "what looks goes on looking"
    assert read_record(hive.models).trial is None
    box.watch.stop(orderly=True)
    assert hive.used() == "better.onnx"


def test_the_running_camera_gives_a_failing_one_back(hive: Hive, package: Path) -> None:
    box = Box(hive)
    install(package, hive.config, passes)
    box.step()
    for _ in range(4):
        box.failures += 5
        box.step()
    assert box.said[1:] == ["error: update: better.onnx is given back: it failed on 5 frames in a row"]
    assert box.reloads == 2
    assert hive.used() == "tiny.onnx"
    assert last_outcome(hive.models)["outcome"] == "returned"
    box.step()
    assert len(box.said) == 2


def test_a_camera_that_stops_in_order_goes_on_with_the_trial_and_one_that_dies_does_not(
    hive: Hive, package: Path
) -> None:
    install(package, hive.config, passes)
    box = Box(hive)
    for orderly, used in ((True, "better.onnx"), (True, "better.onnx"), (False, "better.onnx")):
        box.step()
        box.watch.stop(orderly=orderly)
        assert hive.used() == used
        box.watch = box.made()
    assert hive.used() == "tiny.onnx"
    assert box.said == [
        "error: update: the model on trial was given back: the process ended without a word while it was on trial"
    ]


def test_a_second_process_on_the_same_store_judges_nothing(hive: Hive, package: Path) -> None:
    install(package, hive.config, passes)
    box = Box(hive)
    box.step()
    with pytest.raises(BusyError):
        box.made()
    assert hive.used() == "better.onnx"
