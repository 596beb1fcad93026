"""Several cameras in one process: the same model for all, a loop for each, and one that is broken disturbs none."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from edgekit.camera.config import CameraConfig, RateConfig, SourceConfig, parse_config
from edgekit.camera.detect.detectors import Detector
from edgekit.camera.detect.motion import Motion
from edgekit.camera.rules import Model
from edgekit.camera.runtime import Camera
from edgekit.camera.source.grabber import Grabber
from edgekit.camera.source.uri import Source
from edgekit.camera.store.reader import Reader
from edgekit.errors import SourceError, UsageError
from edgekit.vision.image import Frame
from edgekit.vision.results import Detections
from tests.camera.conftest import HIVE_CLASSES, ListGrabber, SpotDetector, model_of, spot, wait_for
from tests.camera.test_runtime import moving

FOUR = ("north", "east", "south", "west")


def fleet(text: str = "", names: tuple[str, ...] = FOUR[:2], uri: str = "rtsp://127.0.0.1:1/{}") -> CameraConfig:
    cameras = "".join(f"[[cameras]]\nname = '{name}'\nsource.uri = '{uri.format(name)}'\n" for name in names)
    return parse_config(f"visits.end_after = 0.5\nvisits.cooldown = 0\n{text}\n{cameras}", "a test")


class Fleet:
    """Cameras in a thread, stopped at the end; `sources` gives each one's grabber by the end of its address."""

    def __init__(
        self,
        config: CameraConfig,
        sources: Callable[[str], Grabber],
        opened: Callable[[CameraConfig], Model] | Detector | None = None,
    ) -> None:
        self.events: list[dict[str, Any]] = []
        self.said: list[str] = []
        model = opened or SpotDetector()

        def opener(source: Source, _: SourceConfig) -> Grabber:
            return sources(source.place.rpartition("/")[2])

        self.camera = Camera(config, model_of(model) if isinstance(model, Detector) else model, opener=opener,
                             say=self.said.append, listeners=(self.events.append,))  # fmt: skip

    def looks(self, name: str) -> int:
        return self.camera.lookouts[name].health.inferred

    def more_looks(self, name: str, more: int = 5) -> None:
        before = self.looks(name)
        wait_for(lambda: self.looks(name) >= before + more, 10)


@contextmanager
def running(fleet: Fleet) -> Iterator[Fleet]:
    thread = threading.Thread(target=fleet.camera.run)
    thread.start()
    try:
        yield fleet
    finally:
        fleet.camera.stop()
        thread.join(20)
        assert not thread.is_alive()


# --- configuration ---


def test_what_a_camera_leaves_out_is_as_at_the_top() -> None:
    config = parse_config(
        """
        [source]
        read_timeout = 7
        [rate]
        fps = 5
        [labels.hornet]
        threshold = 0.8
        [[zones]]
        name = "all of them"
        points = [[0, 0], [0, 1], [1, 1]]
        [[cameras]]
        name = "a"
        source = { uri = "rtsp://h/a" }
        [[cameras]]
        name = "b"
        source = { uri = "rtsp://h/b", width = 640 }
        rate = { night_below = 20 }
        labels.bee = { threshold = 0.6 }
        zones = []
        """,
        "mine",
    )
    a, b = config.each()
    assert (a.camera, b.camera) == ("a", "b")
    assert (a.source.uri, a.source.read_timeout, a.source.width) == ("rtsp://h/a", 7, 0)
    assert (b.source.uri, b.source.read_timeout, b.source.width) == ("rtsp://h/b", 7, 640)
    assert (a.rate.fps, a.rate.night_below, b.rate.fps, b.rate.night_below) == (5, 0, 5, 20)
    assert (set(a.labels), set(b.labels)) == ({"hornet"}, {"hornet", "bee"})
    assert ([zone.name for zone in a.zones], b.zones) == (["all of them"], ())
    assert a.cameras == b.cameras == ()


def test_one_camera_is_itself() -> None:
    config = parse_config("camera = 'x'", "mine")
    assert config.each() == (config,)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[cameras]]\nname = 'a'", "no cameras.0.source"),
        ("[[cameras]]\nname = 'a'\nsource = {}", "a source with a uri of its own"),
        ("[[cameras]]\nname = 'a'\nsource.url = 'x'", "did you mean uri?"),
        ("[[cameras]]\nnmae = 'a'\nsource.uri = '0'", "did you mean name?"),
        ("[[cameras]]\nname = 'a'\nsource.uri = '0'\nmodel.path = 'x'", "unknown key cameras.0.model"),
        (2 * "[[cameras]]\nname = 'a'\nsource.uri = '0'\n", "cameras of different names"),
        ("source.uri = '1'\n[[cameras]]\nname = 'a'\nsource.uri = '0'", "not both"),
        ("output.video = 'a.mp4'\n[[cameras]]\nname = 'a'\nsource.uri = '0'", "output.video with one camera"),
    ],
)
def test_what_several_cameras_cannot_be_is_refused(text: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_config(text, "mine")
    assert says in str(caught.value)


@pytest.mark.parametrize("wrong", ["source.uri = ['rtsp://u:pa55word@h/x']", "source = 'rtsp://u:pa55word@h/x'"])
def test_a_refused_address_is_not_repeated(wrong: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_config(f"[[cameras]]\nname = 'a'\n{wrong}", "mine")
    assert "pa55word" not in str(caught.value)


# --- running ---


def test_events_counts_and_visits_say_which_camera_it_was(tmp_path: Path) -> None:
    frames = {"north": [spot(20 + i, 60) for i in range(20)], "east": [spot(20, 20)] * 10}
    config = fleet(f"store.folder = '{tmp_path}'\nvisits.clip = true", uri="synthetic://hive?seed=1&frames=9#{}")
    by_name = iter(frames.values())
    made = Fleet(config, lambda _: ListGrabber(next(by_name), 5))
    summary = made.camera.run()
    assert {event["camera"] for event in made.events} == {"north", "east"}
    assert [event["seq"] for event in made.events] == list(range(1, len(made.events) + 1))
    assert (summary.processed, summary.cameras["north"].processed, summary.cameras["east"].processed) == (30, 20, 10)
    assert summary.most_at_once["hornet"] == 1
    reader = Reader(tmp_path)
    (north,) = reader.visits(camera="north")
    (east,) = reader.visits(camera="east")
    assert (north["camera"], east["camera"], len(reader.visits())) == ("north", "east", 2)
    for visit in (north, east):
        assert (tmp_path / visit["snapshot"]["path"]).is_file()
        assert (tmp_path / visit["clip"]["path"]).is_file()
    until = time.time() + 900
    assert reader.quarters(0, until, "north")["hornet"] == reader.quarters(0, until, "east")["hornet"]
    assert reader.quarters(0, until, "nobody") == {}
    assert list(reader.days(0, until)["hornet"].values()) == [1]  # the most before one of them, not a sum


class Counting(SpotDetector):
    """Looks for a while, one at a time, and fails where it is asked to by the brightness of a corner."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.now, self.most = seconds, 0, 0
        self.hang = threading.Event()

    def look(self, frame: Frame, motion: Motion | None) -> Detections:
        if frame[0, 0, 0] == 1:
            raise RuntimeError("broken")
        if frame[0, 0, 0] == 2:
            self.hang.wait(30)
        self.now += 1
        self.most = max(self.most, self.now)
        time.sleep(self.seconds)
        self.now -= 1
        return super().look(frame, motion)


def marked(corner: int) -> ListGrabber:
    def things() -> Any:
        for number in count():
            yield 0.02
            frame = spot(50 + number % 20, 50)
            frame[0, 0] = corner
            yield frame

    return ListGrabber(things())


def test_all_look_with_one_model_one_after_the_other() -> None:
    opened: list[int] = []
    detector = Counting(0.005)

    def opening(config: CameraConfig) -> Model:
        opened.append(1)
        return model_of(detector)(config)

    with running(Fleet(fleet(names=FOUR), lambda _: moving(40), opening)) as four:
        for name in FOUR:
            wait_for(lambda name=name: four.looks(name) > 10, 10)
    assert opened == [1]
    assert detector.most == 1


def test_one_that_raises_one_that_hangs_and_one_that_is_away_cost_the_others_nothing() -> None:
    detector = Counting(0.002)

    def source(name: str) -> Grabber:
        if name == "west":
            raise SourceError("The camera is not there.")
        return marked({"east": 1, "south": 2}.get(name, 0))

    with running(Fleet(fleet(names=FOUR), source, detector)) as four:
        four.more_looks("north", 30)
        begun = time.monotonic()
        four.more_looks("north", 50)
        assert time.monotonic() - begun < 5  # 50 frames of 20 ms; the one that hangs was not waited for each time
        assert four.camera.turns.abandoned == 1
        lookouts = four.camera.lookouts
        assert lookouts["north"].health.ready() == (True, "")
        assert "broken" in lookouts["east"].health.ready()[1]
        assert lookouts["west"].health.ready() == (False, "camera offline: The camera is not there.")
        ready, why = four.camera.ready()
        assert not ready
        assert "north" not in why
        assert "west: camera offline" in why
        assert {event["camera"] for event in four.events} == {"north"}
        detector.hang.set()
    assert any(line.startswith("west: camera offline") for line in four.said)


def test_a_loop_that_ends_against_all_expectation_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgekit.camera.runtime._AGAIN", 0.0)
    with running(Fleet(fleet(), lambda _: moving())) as two:
        two.more_looks("east")
        broken = two.camera.lookouts["east"]
        monkeypatch.setattr(broken._rules.tracker, "update", lambda *_: 1 / 0)
        wait_for(lambda: two.camera.lookouts["east"] is not broken, 10)
        two.more_looks("east")
        assert sum("east ended, the others go on: ZeroDivisionError" in line for line in two.said) == 1
        two.more_looks("north")


def test_files_that_cannot_be_opened_cost_the_others_nothing_unless_all_are(tmp_path: Path) -> None:
    def source(name: str) -> Grabber:
        if name == "east.mp4" or not good:
            raise SourceError(f"{name} is no video.")
        return ListGrabber([spot(30, 30)] * 10, 5)

    good = True
    for name in FOUR[:2]:
        (tmp_path / f"{name}.mp4").touch()
    config = fleet(uri=str(tmp_path) + "/{}.mp4")
    two = Fleet(config, source)
    assert two.camera.run().processed == 10
    good = False
    with pytest.raises(SourceError, match="is no video"):
        Fleet(config, source).camera.run()


def test_a_reload_changes_the_camera_that_changed() -> None:
    text = "visits.update_every = 60"
    with running(Fleet(fleet(text), lambda _: moving())) as two:
        for name in FOUR[:2]:
            wait_for(lambda name=name: bool(two.camera.lookouts[name].visits), 10)
        before = {name: one.visits[0].ident for name, one in two.camera.lookouts.items()}
        north, east = fleet(text).cameras
        other = east.model_copy(
            update={"rate": RateConfig(fps=7), "source": SourceConfig(uri="rtsp://127.0.0.1:1/other")}
        )
        two.camera.reload(fleet(text).model_copy(update={"cameras": (north, other)}))
        wait_for(lambda: "configuration taken" in two.said, 10)
        assert two.camera.lookouts["east"].config.rate.fps == 7
        two.more_looks("east")
        assert two.camera.lookouts["east"].feed.source.place.endswith("other")
        assert two.camera.lookouts["north"].visits[0].ident == before["north"]
        ended = [event for event in two.events if event["type"] == "end"]
        assert [event["id"] for event in ended] == [before["east"]]
        two.camera.reload(fleet(text, ("north", "other")))
        wait_for(lambda: any("after a restart also: the names of the cameras" in line for line in two.said), 10)
        two.more_looks("east")


def test_another_model_is_taken_by_all_and_the_old_one_closed_once() -> None:
    closed: list[int] = []
    number = iter(range(9))

    def opening(_: CameraConfig) -> Model:
        n = next(number)
        info = {"name": f"{n}.onnx", "sha256": str(n) * 64, "precision": "fp32"}
        return Model(lambda c, floor: SpotDetector(), HIVE_CLASSES, (), info, lambda: closed.append(n), lambda: True)

    with running(Fleet(fleet(names=FOUR), lambda _: moving(), opening)) as four:
        for name in FOUR:
            four.more_looks(name)
        four.camera.reload(fleet(names=FOUR))
        wait_for(lambda: any("the model is 1.onnx" in line for line in four.said), 10)
        assert closed == [0]
        for name in FOUR:
            four.more_looks(name)
            wait_for(lambda name=name: four.camera.lookouts[name]._model.model.info["name"] == "1.onnx", 5)
    assert closed == [0, 1]
    assert {event["model"]["name"] for event in four.events} == {"0.onnx", "1.onnx"}
    json.dumps(four.events, allow_nan=False)


# --- the page ---


def asked(port: int, path: str, method: str = "GET", body: str | None = None) -> tuple[int, bytes]:
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        link.request(method, path, body, {"Content-Type": "application/json"} if body else {})
        answer = link.getresponse()
        return answer.status, answer.read()
    finally:
        link.close()


def test_the_page_answers_for_each_camera(tmp_path: Path) -> None:
    pytest.importorskip("uvicorn")
    pytest.importorskip("prometheus_client")
    from edgekit.camera.web.server import Page

    def source(name: str) -> Grabber:
        if name == "east":
            raise SourceError("The camera is not there.")
        return moving()

    config = fleet(f"store.folder = '{tmp_path}'\nweb.port = 0\ndevice = 'box'")
    two = Fleet(config, source)
    page = Page(two.camera)
    page.start()
    try:
        with running(two):
            wait_for(lambda: bool(two.camera.lookouts["north"].visits), 10)
            wait_for(lambda: json.loads(asked(page.port, "/api/visits?camera=north")[1]) != [], 10)
            status = json.loads(asked(page.port, "/api/status")[1])
            assert [(one["camera"], one["ready"]) for one in status["cameras"]] == [("north", True), ("east", False)]
            assert (status["camera"], status["device"], status["open"][0]["label"]) == ("north", "box", "hornet")
            assert json.loads(asked(page.port, "/api/status?camera=east")[1])["source"]["state"] == "offline"
            assert json.loads(asked(page.port, "/api/visits?camera=east")[1]) == []
            (visit,) = json.loads(asked(page.port, "/api/visits")[1])
            assert visit["camera"] == "north"
            assert json.loads(asked(page.port, "/api/today?camera=north")[1])["labels"]["hornet"]["visits"] == 1
            assert json.loads(asked(page.port, "/api/today?camera=east")[1])["labels"] == {}
            for path in ("/api/counts", "/api/season"):
                assert json.loads(asked(page.port, f"{path}?camera=east")[1])["labels"] == {}
            assert b"north" in asked(page.port, "/api/visits.csv?camera=north")[1]
            assert b"north" not in asked(page.port, "/api/visits.csv?camera=east")[1]
            assert asked(page.port, "/snapshot.jpg?camera=north")[0] == 200
            assert asked(page.port, "/snapshot.jpg?camera=east")[0] == 503  # it has shown none yet
            for path in ("/snapshot.jpg", "/live.mjpg", "/api/status", "/api/zones"):
                assert asked(page.port, f"{path}?camera=nobody")[0] == 404
            code, why = asked(page.port, "/readyz")
            assert (code, why) == (503, b"east: camera offline: The camera is not there.")
            assert asked(page.port, "/livez") == (200, b"alive")
            metrics = asked(page.port, "/metrics")[1].decode().splitlines()
            assert 'edgekit_camera_ready{camera="north",device="box"} 1.0' in metrics
            assert 'edgekit_camera_ready{camera="east",device="box"} 0.0' in metrics
            assert sum(line.startswith("# TYPE edgekit_camera_frames_total") for line in metrics) == 1
            assert [line for line in metrics if line.startswith("edgekit_camera_events_total{camera")] == [
                f'edgekit_camera_events_total{{camera="",device="box",fate="{fate}"}} {n}'
                for fate, n in (("told", "1.0"), ("lost", "0.0"))
            ]
            zones = [{"name": "grass", "use": "ignore", "points": [[0, 0.9], [1, 0.9], [1, 1]]}]
            code, told = asked(page.port, "/api/zones?camera=east", "POST", json.dumps({"zones": zones}))
            assert (code, json.loads(told)["taken"]) == (200, True)
            names = {name: [z.name for z in one.config.zones] for name, one in two.camera.lookouts.items()}
            assert names == {"north": [], "east": ["grass"]}
            assert two.camera.lookouts["north"].visits[0].ident == visit["id"]
    finally:
        page.stop()
