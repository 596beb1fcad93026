"""A part of a running camera stands still: it is noticed within 10 s, works again within 20 s, or the pings stop.

Each fault is planted in a whole camera. By default patience is a twentieth of what it is in a season; the slow tests
have the real one, and print what docs/faults.md has: `python -m pytest -s -m slow tests/camera/test_watched.py`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.camera import runtime as runtime_module
from edgekit.camera.config import CameraConfig
from edgekit.camera.detect.detectors import Detector
from edgekit.camera.detect.motion import Motion
from edgekit.camera.rules import Model
from edgekit.camera.runtime import Camera
from edgekit.camera.source.grabber import Grabber
from edgekit.camera.store.pending.unwritten import Unwritten
from edgekit.camera.store.reader import Reader
from edgekit.camera.watch import watcher as watcher_module
from edgekit.camera.watch.part import Part
from edgekit.camera.web.server import Page
from edgekit.errors import StandstillError
from edgekit.vision.image import Frame
from edgekit.vision.results import Detections
from tests.camera.conftest import HIVE_CLASSES, HttpCamera, SpotDetector, config_of, spot, wait_for
from tests.camera.test_feed import jpeg

FAST = 20.0
SPEEDS = [pytest.param(FAST, id="fast"), pytest.param(1.0, id="real", marks=pytest.mark.slow)]
NOTICED, RESTARTED = 10.0, 20.0  # seconds
SLACK = 15.0  # seconds, of a busy machine where patience is quicker; the slow test has the real ones


class Moving(Grabber):
    """A spot that moves for ever, at 20 frames a second."""

    def __init__(self) -> None:
        self.number = 0

    def read(self) -> Frame:
        time.sleep(0.05)
        self.number += 1
        frame = spot(20 + self.number * 3 % 120, 60)
        frame[0, 0] = self.number % 256
        return frame

    def close(self) -> None:
        return


class Faulty(Detector):
    """Looks as `SpotDetector`, until its `fault` is planted; `made` counts how many there were."""

    def __init__(self) -> None:
        self.fault: Callable[[], None] = lambda: None
        self._eye = SpotDetector()

    def look(self, frame: Frame, motion: Motion | None) -> Detections:
        self.fault()
        return self._eye.look(frame, motion)


class Watched:
    """A camera in a thread, with everything that the watchdog was told and people were told, and when."""

    def __init__(self, config: CameraConfig, opener: Any = lambda *_: Moving(), always: bool = False) -> None:
        self.said: list[tuple[float, str]] = []
        self.pings: list[float] = []
        self.events: list[tuple[float, dict[str, Any]]] = []
        self.detectors: list[Faulty] = []
        self.always, self.error = always, None
        self.release = threading.Event()
        self.camera = Camera(config, self._model, opener=opener, say=self._say,
                             listeners=(lambda event: self.events.append((time.monotonic(), event)),))  # fmt: skip
        self.page = Page(self.camera, self._say) if config.web.enabled else None
        self._thread = threading.Thread(target=self._run)

    def _model(self, _: CameraConfig) -> Model:
        self.detectors.append(Faulty())
        detector = self.detectors[-1]
        if self.always and len(self.detectors) > 1:
            detector.fault = self.release.wait
        info = {"name": "made.onnx", "sha256": "0" * 64, "precision": "fp32"}
        return Model(lambda config, floor: detector, HIVE_CLASSES, (), info)

    def _say(self, line: str) -> None:
        self.said.append((time.monotonic(), line))

    def _run(self) -> None:
        try:
            self.camera.run()
        except StandstillError as error:
            self.error = error

    def looks(self) -> int:
        return self.camera.lookout.health.inferred

    def more_looks(self) -> float:
        """When five more frames were looked at."""
        before, health = self.looks(), self.camera.lookout.health
        wait_for(lambda: self.camera.lookout.health is not health or self.looks() >= before + 5)
        if self.camera.lookout.health is not health:
            wait_for(lambda: self.looks() >= 5)
        return time.monotonic()

    def when(self, word: str, since: float) -> float | None:
        return next((at for at, line in self.said if word in line and at >= since), None)

    def __enter__(self) -> Watched:
        if self.page is not None:
            self.page.start()
            self.camera.watch(self.page.part)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release.set()
        self.camera.stop()
        self._thread.join(30)
        if self.page is not None:
            self.page.stop()


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Makes cameras whose parts are watched with a patience divided by the speed."""

    @contextmanager
    def make(speed: float, *changes: str, **options: Any) -> Iterator[Watched]:
        old = watcher_module.Watcher.set

        def quicker(self: Any, parts: list[Part]) -> None:
            old(self, [replace(part, patience=part.patience / speed) for part in parts])

        monkeypatch.setattr(watcher_module.Watcher, "set", quicker)
        for name in ("_EVERY", "_GRACE", "_FAILED"):
            monkeypatch.setattr(watcher_module, name, getattr(watcher_module, name) / speed)
        monkeypatch.setattr("edgekit.camera.housekeeping._EVERY", 2 / speed)
        made = Watched(
            config_of("source.uri=/dev/video99", "visits.end_after=0.5", "visits.cooldown=0", *changes), **options
        )
        told = made.pings
        monkeypatch.setattr(
            "edgekit.camera.housekeeping.notify_systemd",
            lambda m: told.append(time.monotonic()) if "DOG" in m else None,
        )
        with made:
            made.more_looks()
            yield made

    return make


def judged(name: str, watched: Watched, part: str, began: float, works: float, speed: float) -> None:
    """Noticed and working again in time, said once, and the watchdog told all the while."""
    noticed = watched.when(f"{part}: ", began)
    assert noticed is not None
    print(f"{name}: noticed after {noticed - began:.1f} s, works again after {works - began:.1f} s")
    assert noticed - began <= NOTICED / speed + SLACK * (speed > 1)
    assert works - began <= RESTARTED / speed + SLACK * (speed > 1)
    assert sum(f"error: {part}: " in line for at, line in watched.said if at >= began) == 1
    since = len(watched.pings)
    wait_for(lambda: len(watched.pings) > since)


@pytest.mark.parametrize("speed", SPEEDS)
def test_a_look_that_hangs(speed: float, watched: Any) -> None:
    with watched(speed) as camera:
        began = time.monotonic()
        camera.detectors[0].fault = camera.release.wait
        wait_for(lambda: len(camera.detectors) > 1)
        judged("hung detector", camera, "model", began, camera.more_looks(), speed)
        looks = camera.looks()
        camera.release.set()  # what the old one saw is nobody's
        wait_for(lambda: camera.looks() > looks + 5)
        part = next(p for p in camera.camera.watcher.status() if p["name"] == "model")
        assert part["restarts"] == 1


@pytest.mark.parametrize("speed", SPEEDS)
def test_a_model_that_raises(speed: float, watched: Any) -> None:
    def fault() -> None:
        raise RuntimeError("CUDA error 999")

    with watched(speed) as camera:
        began = time.monotonic()
        camera.detectors[0].fault = fault
        wait_for(lambda: len(camera.detectors) > 1)
        judged("raising detector", camera, "model", began, camera.more_looks(), speed)


@pytest.mark.parametrize("speed", SPEEDS)
def test_a_read_that_hangs(speed: float, watched: Any) -> None:
    hangs = threading.Event()

    class Hanging(Moving):
        def read(self) -> Frame:
            if hangs.is_set() and opened[0] is self:
                camera.release.wait()
            return super().read()

    opened: list[Hanging] = []

    def opener(*_: object) -> Grabber:
        opened.append(Hanging())
        return opened[-1]

    with watched(speed, f"source.read_timeout={2 / speed}", opener=opener) as camera:
        began = time.monotonic()
        hangs.set()
        wait_for(lambda: len(opened) > 1)
        judged("hung read", camera, "capture", began, camera.more_looks(), speed)
        assert camera.camera.lookout.feed.counters.abandoned == 1


@pytest.mark.parametrize("speed", SPEEDS)
def test_a_stream_that_drips(speed: float, watched: Any, http_camera: Callable[..., HttpCamera]) -> None:
    """The source itself gives it up: nothing hangs."""
    from edgekit.camera.source.open import open_grabber

    drips, number = threading.Event(), iter(range(10**9))
    web = http_camera(lambda: b"\xff" if drips.is_set() else jpeg(next(number) * 3), fps=20, length=False)
    keys = (f"source.uri={web.uri}", f"source.read_timeout={2 / speed}")
    with watched(speed, *keys, opener=open_grabber) as camera:
        began = time.monotonic()
        web.fps = 1 if speed == 1 else 20
        drips.set()
        wait_for(lambda: camera.when("drips", began) is not None)
        noticed = camera.when("drips", began)
        web.fps = 20
        drips.clear()
        works = camera.more_looks()
        print(f"drip: noticed after {noticed - began:.1f} s, works again after {works - began:.1f} s")
        assert noticed - began <= NOTICED
        assert works - began <= RESTARTED


@pytest.mark.parametrize("speed", SPEEDS)
def test_a_write_that_hangs(speed: float, watched: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an fsync on a dying card does: the thread is in it, and no other can have the database meanwhile."""
    hangs, write, stuck = threading.Event(), Unwritten.write, []

    def hanging(self: Unwritten, db: Any) -> int:
        if hangs.is_set() and not stuck:
            stuck.append(len(self.events))
            camera.release.wait()
        return write(self, db)

    monkeypatch.setattr(Unwritten, "write", hanging)
    with watched(speed, f"store.folder={tmp_path}", "visits.update_every=0.2") as camera:
        wait_for(lambda: bool(camera.events))
        began = time.monotonic()
        hangs.set()
        wait_for(lambda: bool(stuck))
        wait_for(lambda: camera.when("writer: ", began) is not None)
        told = len(camera.events)
        wait_for(lambda: len(camera.events) > told + 3)
        judged("hung write", camera, "writer", began, time.monotonic(), speed)
        wait_for(lambda: not camera.camera.writer.problem)
        camera.release.set()
        wait_for(lambda: len(camera.events) > told + 6)
    ids = [event["seq"] for _, event in camera.events]
    assert ids == sorted(set(ids))  # none twice, none out of order
    reader = Reader(tmp_path)
    assert not [visit for visit in reader.visits() if visit["type"] != "end"]


@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("how", ["dead", "hung"])
def test_a_page_that_answers_nobody(how: str, speed: float, watched: Any) -> None:
    import urllib.request

    with watched(speed, "web.enabled=true", "web.port=0") as camera:
        url = f"http://127.0.0.1:{camera.page.port}/livez"
        assert urllib.request.urlopen(url, timeout=10).status == 200
        wait_for(lambda: camera.page._thread.loop is not None)
        began, loop = time.monotonic(), camera.page._thread.loop
        loop.call_soon_threadsafe(loop.stop if how == "dead" else lambda: camera.release.wait(60))
        wait_for(lambda: camera.when("page: ", began) is not None)

        def answers() -> bool:
            try:
                return bool(urllib.request.urlopen(url, timeout=1).status == 200)
            except OSError:
                return False

        wait_for(answers)
        judged(f"{how} page", camera, "page", began, time.monotonic(), speed)


@pytest.mark.parametrize("speed", SPEEDS)
def test_a_delivery_whose_thread_is_dead(
    speed: float, watched: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgekit.camera.deliver.command import Command

    sent: list[str] = []
    dies = threading.Event()

    def send(self: Command, event: dict[str, Any]) -> None:
        if dies.is_set():
            dies.clear()
            raise SystemExit
        sent.append(event["id"])

    monkeypatch.setattr(Command, "send", send)
    keys = (f"store.folder={tmp_path}", 'deliver.command.run=["/bin/true"]', "visits.update_every=0.2")
    with watched(speed, *keys) as camera:
        wait_for(lambda: bool(sent))
        began = time.monotonic()
        dies.set()
        wait_for(lambda: camera.when("delivery command: ", began) is not None)
        told = len(sent)
        wait_for(lambda: len(sent) > told)
        judged("dead delivery thread", camera, "delivery command", began, time.monotonic(), speed)


@pytest.mark.parametrize("speed", SPEEDS)
def test_where_no_restart_helps_the_pings_stop_and_the_process_ends(speed: float, watched: Any) -> None:
    with watched(speed, always=True) as camera:
        began = time.monotonic()
        camera.detectors[0].fault = camera.release.wait
        wait_for(lambda: camera.error is not None, 120)
        ended = time.monotonic()
    assert camera.error is not None
    assert camera.error.exit_code == 6
    last = camera.pings[-1]
    print(f"no restart helps: pings stop after {last - began:.1f} s, the process ends after {ended - began:.1f} s")
    assert last - began <= 30 / speed + SLACK
    assert ended - last >= 20 / speed


def test_parts_are_in_the_status(watched: Any) -> None:
    with watched(FAST) as camera:
        parts = {part["name"]: part for part in camera.camera.watcher.status()}
        assert parts.keys() == {"capture", "model", "writer"}
        assert all(part["state"] == "well" and not part["why"] for part in parts.values())
    assert np.isfinite(parts["model"]["for"])
    assert runtime_module.Watcher is watcher_module.Watcher
