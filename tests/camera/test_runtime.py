"""The whole loop in one process: a made hive with known truth, a slow model, a broken one, reloads and ends."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgekit.camera.config import CameraConfig
from edgekit.camera.deliver.base import Event
from edgekit.camera.detect.detectors import Detector
from edgekit.camera.detect.motion import Motion
from edgekit.camera.rules import Model
from edgekit.camera.runtime import Camera, OpenModel
from edgekit.camera.source.grabber import Grabber
from edgekit.camera.store.reader import Reader
from edgekit.data import HiveClip
from edgekit.errors import SourceError, UsageError
from edgekit.vision.image import Frame
from edgekit.vision.results import Detections
from tests.camera.conftest import (
    HIVE_CLASSES,
    HiveDetector,
    ListGrabber,
    SleepyDetector,
    SpotDetector,
    config_of,
    found,
    model_of,
    numbered,
    spot,
    wait_for,
)

FRAMES = 200
CLIP = HiveClip(1, 10, 180, 320)


@pytest.fixture(scope="module")
def hive_eye() -> HiveDetector:
    return HiveDetector(CLIP, FRAMES)


def hive_config(*changes: str) -> CameraConfig:
    uri = f"source.uri=synthetic://hive?seed=1&fps=10&height=180&width=320&frames={FRAMES}"
    return config_of(uri, *changes)


class Running:
    """A camera in a thread, stopped at the end."""

    def __init__(
        self, config: CameraConfig, detector: Detector | OpenModel, grabber: Callable[[], Grabber], **options: Any
    ):
        self.events: list[dict[str, Any]] = []
        self.said: list[str] = []
        opened = model_of(detector) if isinstance(detector, Detector) else detector
        self.camera = Camera(config, opened, opener=lambda *_: grabber(), say=self.said.append,
                             listeners=(self.events.append,), **options)  # fmt: skip
        self._thread = threading.Thread(target=self.camera.run)

    def __enter__(self) -> "Running":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.camera.stop()
        self._thread.join(10)
        assert not self._thread.is_alive()


def test_a_clip_gives_video_events_counts_and_a_summary(hive_eye: HiveDetector, tmp_path: Path) -> None:
    video = tmp_path / "annotated.mp4"
    config = hive_config(f"store.folder={tmp_path / 'store'}", f"output.video={video}", "visits.cooldown=0")
    events: list[dict[str, Any]] = []
    summary = Camera(config, model_of(hive_eye), say=lambda _: None, listeners=(events.append,)).run()
    assert summary.captured == summary.processed == summary.inferred == FRAMES
    assert summary.dropped == 0
    truth = [CLIP.frame(i) for i in range(FRAMES)]
    most = max(int((t.labels == 1).sum()) for t in truth)
    assert most >= 1
    assert summary.most_at_once["hornet"] == most
    capture = cv2.VideoCapture(str(video))
    assert int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) == FRAMES
    assert capture.get(cv2.CAP_PROP_FPS) == 10
    reader = Reader(tmp_path / "store")
    hornets = reader.visits(label="hornet")
    assert len(hornets) == summary.visits["hornet"] >= 1
    assert sum(q for q in next(iter(reader.days(0, time.time() + 99)["hornet"].items()))[1:]) == most
    for visit in hornets:
        assert visit["type"] == "end"
        picture = tmp_path / "store" / visit["snapshot"]["path"]
        assert picture.stat().st_size == visit["snapshot"]["bytes"]
        assert cv2.imread(str(picture)).shape == (180, 320, 3)
    assert [e["seq"] for e in events] == list(range(1, len(events) + 1))
    assert not [p for p in tmp_path.rglob("*") if ".tmp" in p.name]


def test_an_event_is_the_documented_object(hive_eye: HiveDetector, tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    config = hive_config(f"store.folder={tmp_path}", "device=box", "camera=hive 7", "visits.clip=true")
    Camera(config, model_of(hive_eye), say=lambda _: None, listeners=(events.append,)).run()
    event = events[0]
    assert list(event) == [
        "schema", "id", "seq", "type", "device", "camera", "label", "start", "last_seen", "end", "end_reason", "clock",
        "score", "median_score", "top_score", "threshold", "box", "tracks", "zones", "count", "count_max", "model",
        "snapshot", "plain", "clip",
    ]  # fmt: skip
    assert (event["schema"], event["device"], event["camera"]) == ("edgekit.visit/1", "box", "hive 7")
    assert event["model"] == {"name": "made.onnx", "sha256": "0" * 64, "precision": "fp32"}
    assert set(event["snapshot"]) == {"path", "sha256", "bytes"}
    assert set(event["plain"]) == {"path", "sha256", "bytes", "objects"}
    assert [set(one) for one in event["plain"]["objects"][:1]] == [{"label", "score", "box"}]
    assert all(0 <= v <= 1 for v in event["box"])
    assert json.loads(json.dumps(event, allow_nan=False)) == event
    assert {e["type"] for e in events} == {"start", "update", "end"} or {e["type"] for e in events} == {"start", "end"}
    ends = [e for e in events if e["type"] == "end"]
    clip = cv2.VideoCapture(str(tmp_path / ends[0]["clip"]["path"]))
    assert clip.read()[0]


def test_a_slow_model_sees_fresh_frames_and_all_are_accounted_for() -> None:
    captured, behind = 0, []

    def things() -> Any:
        nonlocal captured
        while True:
            yield 0.05
            captured += 1
            yield numbered(captured)

    class Detector(SleepyDetector):
        def look(self, frame: Frame, motion: Motion | None) -> Detections:
            behind.append(captured - int(frame[0, 0, 0]) - 256 * int(frame[0, 0, 1]))
            return super().look(frame, motion)

    camera = Camera(
        live_config(), model_of(Detector(0.25)), opener=lambda *_: ListGrabber(things()), say=lambda _: None
    )
    summary = camera.run(4)
    assert summary.captured == summary.processed + summary.dropped
    assert summary.processed < 20 < summary.captured
    assert max(behind) < 20  # one after the other they would be 60 behind at the end
    assert (summary.age_p99_ms is None) == (summary.processed < 100)


def moving(fps: float = 20) -> ListGrabber:
    """A bright spot that walks to and fro, without end."""

    def things() -> Any:
        i = 0
        while True:
            yield 1 / fps
            yield spot(20 + abs(i % 120 - 60) * 2, 60)
            i += 1

    return ListGrabber(things())


def live_config(*changes: str) -> CameraConfig:
    return config_of("source.uri=rtsp://127.0.0.1:1/x", "visits.end_after=0.5", "visits.cooldown=0", *changes)


def test_a_lost_camera_ends_the_visit_and_a_new_one_begins_when_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgekit.camera.source.feed.backoff.Backoff.next", lambda _: 0.05)
    gone = threading.Event()

    def grabber() -> Grabber:
        if gone.is_set():
            raise SourceError("The camera is not there.")
        return ListGrabber(_until(moving()._things, gone))

    with Running(live_config(), SpotDetector(), grabber) as running:
        wait_for(lambda: [e["type"] for e in running.events] == ["start"], 5)
        assert running.camera.lookout.health.ready() == (True, "")
        gone.set()
        wait_for(lambda: len(running.events) == 2, 5)
        assert running.events[1]["end_reason"] == "camera_offline"
        ready, why = running.camera.lookout.health.ready()
        assert not ready
        assert "offline" in why
        gone.clear()
        wait_for(lambda: len(running.events) == 3, 5)
    assert [e["type"] for e in running.events] == ["start", "end", "start", "end"]
    assert running.events[-1]["end_reason"] == "shutdown"


def _until(things: Any, gone: threading.Event) -> Any:
    for thing in things:
        if gone.is_set():
            raise SourceError("The stream broke off.")
        yield thing


class BrokenDetector(Detector):
    """Fails as long as it is told to."""

    def __init__(self) -> None:
        self.broken = True

    def look(self, frame: Frame, motion: Motion | None) -> Detections:
        if self.broken:
            raise RuntimeError("out of memory on the board")
        return found()


def test_a_model_that_fails_is_told_and_recovers() -> None:
    detector = BrokenDetector()
    with Running(live_config(), detector, moving) as running:
        wait_for(lambda: running.camera.lookout.health.model_errors > 3, 5)
        ready, why = running.camera.lookout.health.ready()
        assert not ready
        assert "out of memory" in why
        assert sum("out of memory" in line for line in running.said) == 1
        detector.broken = False
        wait_for(lambda: running.camera.lookout.health.ready()[0], 5)


def test_the_gate_saves_the_model_while_nothing_moves() -> None:
    still = [spot(50, 50)] * 60
    config = config_of("source.uri=synthetic://hive?frames=1", "motion.gate=true", "motion.every=1000")
    summary = Camera(
        config, model_of(SleepyDetector(0)), opener=lambda *_: ListGrabber(still, 10), say=lambda _: None
    ).run()
    assert summary.processed == 60
    assert summary.inferred == 1
    assert summary.gated == 59


def test_another_picture_size_in_mid_stream_gives_right_boxes(tmp_path: Path) -> None:
    frames = [spot(40, 60) for _ in range(10)] + [spot(80, 120, 240, 320) for _ in range(10)]
    config = config_of(
        "source.uri=synthetic://hive?frames=1", f"output.video={tmp_path / 'v.avi'}", "visits.update_every=0.1"
    )
    events: list[dict[str, Any]] = []
    detector = model_of(SpotDetector())
    Camera(
        config, detector, opener=lambda *_: ListGrabber(frames, 5), say=lambda _: None, listeners=(events.append,)
    ).run()
    assert events[0]["box"] == [34 / 160, 54 / 120, 46 / 160, 66 / 120]
    assert events[-1]["box"] == pytest.approx([74 / 320, 114 / 240, 86 / 320, 126 / 240], abs=1e-4)
    capture = cv2.VideoCapture(str(tmp_path / "v.avi"))
    assert int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) == 20
    assert capture.read()[1].shape == (120, 160, 3)


def test_a_reload_changes_rules_and_keeps_what_cannot_change() -> None:
    with Running(live_config(), SpotDetector(), moving) as running:
        wait_for(lambda: len(running.events) == 1, 5)
        running.camera.reload(live_config("visits.labels=['bee']", "web.port=9999"))
        wait_for(lambda: any("configuration taken" in line for line in running.said), 5)
        assert any("after a restart also: web" in line for line in running.said)
        wait_for(lambda: len(running.events) == 2, 5)
        processed = running.camera.lookout.health.inferred
        wait_for(lambda: running.camera.lookout.health.inferred > processed + 10, 5)
        assert len(running.events) == 2  # hornets make no visits any more
        running.camera.reload(live_config("visits.labels=['wolf']"))
        wait_for(lambda: any("was not taken" in line for line in running.said), 5)
        assert running.camera.config.visits.labels == ("bee",)
        wait_for(lambda: running.camera.lookout.health.inferred > processed + 20, 5)


def test_a_reload_takes_another_source() -> None:
    with Running(live_config(), SpotDetector(), moving) as running:
        wait_for(lambda: running.camera.lookout.health.inferred > 3, 5)
        running.camera.reload(live_config("source.uri=rtsp://127.0.0.1:2/other"))
        wait_for(lambda: running.camera.lookout.health.status()["source"]["name"].endswith("other"), 5)
        wait_for(lambda: running.camera.lookout.health.status()["source"]["processed"] > 3, 5)


def test_unknown_labels_are_refused() -> None:
    with pytest.raises(UsageError, match="does not have"):
        Camera(hive_config("visits.labels=['wolf']"), model_of(SpotDetector()), say=lambda _: None)


def test_heat_pauses_and_readiness_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgekit.camera.housekeeping.hottest", lambda: 99.0)
    with Running(live_config(), SpotDetector(), moving) as running:
        wait_for(lambda: running.camera.lookout.health.status()["rate"]["mode"] == "paused", 5)
        assert "99 degrees" in running.camera.lookout.health.ready()[1]
        assert running.camera.lookout.health.alive() == (True, "")
        assert any("looking not at all" in line for line in running.said)


def test_a_slow_disk_costs_pictures_and_no_events(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("edgekit.camera.deliver.video_file.VideoFile.show", lambda *_: time.sleep(0.5))
    config = live_config(f"output.video={tmp_path / 'v.avi'}", "visits.update_every=0.2")
    with Running(config, SpotDetector(), moving) as running:
        wait_for(lambda: running.camera.writer.skipped > 5, 15)
        status = running.camera.lookout.health.status()
        assert status["age"]["ms_p50"] < 400  # a frame that waited for the disk would be 500
    kinds = [e["type"] for e in running.events]
    assert kinds[0] == "start"
    assert kinds[-1] == "end"
    assert [e["seq"] for e in running.events] == list(range(1, len(kinds) + 1))


def test_a_hung_loop_is_not_alive() -> None:
    camera = Camera(live_config(), model_of(SpotDetector()), opener=lambda *_: moving(), say=lambda _: None)
    assert camera.lookout.health.alive() == (True, "")
    camera.lookout.health._beat -= 31
    alive, why = camera.lookout.health.alive()
    assert not alive
    assert "31 s" in why
    assert camera.lookout.health.ready() == (False, why)


def test_nothing_is_ready_before_the_first_frame() -> None:
    camera = Camera(live_config(), model_of(SpotDetector()), opener=lambda *_: moving(), say=lambda _: None)
    assert camera.lookout.health.ready()[0] is False
    assert camera.lookout.health.status()["source"]["state"] == "connecting"


def test_systemd_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.bind(str(tmp_path / "s"))
        link.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "s"))
        with Running(live_config(), SpotDetector(), moving):
            assert {link.recv(99), link.recv(99)} == {b"READY=1", b"WATCHDOG=1"}


def test_frames_are_not_written_to(hive_eye: HiveDetector) -> None:
    kept = spot(50, 50)
    before = kept.copy()
    config = config_of("source.uri=synthetic://hive?frames=1")
    Camera(config, model_of(SpotDetector()), opener=lambda *_: ListGrabber([kept] * 5, 5), say=lambda _: None).run()
    np.testing.assert_array_equal(kept, before)


class BusyDetector(SpotDetector):
    """Looks for a while, the first frames longest, and notes who looked and how many did at once."""

    def __init__(self, stops_at: int = 10_000) -> None:
        self.threads: list[str] = []
        self.now = self.most = 0
        self._lock, self._stops_at = threading.Lock(), stops_at

    def look(self, frame: Frame, motion: Motion | None) -> Detections:
        with self._lock:
            self.threads.append(threading.current_thread().name)
            nth = len(self.threads)
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.002 * (20 - nth) if nth < 20 else 0.002)
        with self._lock:
            self.now -= 1
        if nth == self._stops_at:
            raise RuntimeError("broken")
        return super().look(frame, motion)


def watched(detector: Detector, frames: list[Frame], *changes: str) -> tuple[Camera, list[Event]]:
    events: list[Event] = []
    config = config_of(f"source.uri=synthetic://hive?frames={len(frames)}", "visits.update_every=0.1", *changes)
    camera = Camera(
        config,
        model_of(detector),
        opener=lambda *_: ListGrabber(frames, 5),
        say=lambda _: None,
        listeners=(events.append,),
    )
    camera.run()
    return camera, events


@pytest.mark.parametrize(
    ("changes", "most"),
    [
        (("model.streams=3",), 3),
        (("model.threads=1",), 2),  # one prepares while the other has the model
        (("motion.gate=true",), 1),
        (("rate.fps=2",), 1),
        (("rate.night_below=5",), 1),
        (("source.real_time=true",), 1),
    ],
)
def test_frames_of_a_file_are_looked_at_ahead_where_all_of_them_are(changes: tuple[str, ...], most: int) -> None:
    detector = BusyDetector()
    frames = [spot(20 + 5 * i, 50) for i in range(16)]
    watched(detector, frames, "model.path=hive.onnx", *changes)
    assert detector.most == most
    ahead = [name.startswith("camera-look") for name in detector.threads]
    assert all(ahead) if most > 1 else not any(ahead)
    assert not [t.name for t in threading.enumerate() if t.name.startswith("camera-look")]


def test_looks_at_once_give_the_same_events_in_the_same_order() -> None:
    frames = [spot(20 + 5 * (i % 20), 50) for i in range(40)]
    told = []
    for detector, streams in ((SpotDetector(), 1), (BusyDetector(), 4)):
        _, events = watched(detector, frames, "model.path=hive.onnx", f"model.streams={streams}")
        assert events
        told.append([(e["seq"], e["type"], e["label"], e["box"], e["tracks"], e["score"]) for e in events])
    assert told[0] == told[1]


def test_a_look_ahead_that_fails_is_that_frames_failure_only() -> None:
    camera, events = watched(BusyDetector(stops_at=5), [spot(20 + 5 * i, 50) for i in range(16)], "model.streams=2")
    assert camera.lookout.health.inferred == 15
    assert events


def test_what_another_eye_saw_before_a_reload_is_not_used() -> None:
    old, new = BusyDetector(), BusyDetector()
    detectors = iter((old, new))
    frames = [spot(20 + 2 * (i % 40), 50) for i in range(60)]
    config = config_of("source.uri=synthetic://hive?frames=60", "model.path=hive.onnx", "model.streams=3")
    closed: list[int] = []
    again = threading.Event()

    def opened(wanted: CameraConfig) -> Model:
        detector = next(detectors)
        if detector is new:
            again.set()
        return Model(lambda c, floor: detector, HIVE_CLASSES, (), {"name": "", "sha256": "", "precision": ""},
                     lambda: closed.append(detector.now))  # fmt: skip

    def read() -> Iterator[Frame]:
        yield from frames[:10]
        camera.reload(wanted)
        assert again.wait(10)  # however busy the machine is, the new model is there before the last frames
        yield from frames[10:]

    camera = Camera(config, opened, opener=lambda *_: ListGrabber(read(), 5), say=lambda _: None)
    wanted = config_of("source.uri=synthetic://hive?frames=60", "model.path=hive.onnx", "model.streams=2")
    summary = camera.run()
    assert summary.inferred == 60
    assert old.threads
    assert len(new.threads) + len(old.threads) > 60  # those that waited were looked at again
    assert new.most in (2, 3)  # the loop itself looks at a frame that the old detector had begun
    assert closed == [0, 0]  # nobody was looking when a model was closed
