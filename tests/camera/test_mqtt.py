"""MQTT against a real broker: everything arrives in order, and Home Assistant knows the camera."""

import gc
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from edgekit.camera.deliver.base import CameraNow, Event, Setup
from edgekit.camera.deliver.mqtt.link import Broker, Link
from edgekit.camera.deliver.mqtt.mqtt import Mqtt, MqttKeys
from edgekit.camera.deliver.mqtt.topics import slug
from edgekit.camera.events.uuid7 import uuid7
from edgekit.camera.store.pending.outbox import Outbox
from tests.camera.broker import Listener, Mosquitto
from tests.camera.certificates import write_certificates
from tests.camera.conftest import ListGrabber, config_of, spot, wait_for
from tests.camera.home_assistant import check_discovery
from tests.camera.test_fleet import Fleet, fleet, running

NOW = CameraNow("hive", True, "", "online", {"hornet": 0, "bee": 2}, "none")


class Camera:
    """An `Mqtt` without a camera: its states are the test's."""

    def __init__(self, port: int, *changes: str, outbox: Outbox | None = None, **keys: Any) -> None:
        self.now, self.switched, self.said = NOW, list[tuple[str, bool]](), list[str]()
        self.outbox = outbox or Outbox()
        setup = Setup(config_of("device=box", *changes), False, lambda: 10.0, self.outbox, self.said.append,
                      lambda: (self.now,), lambda name, on: self.switched.append((name, on)))  # fmt: skip
        self.delivery = Mqtt(setup, MqttKeys(**{"host": "127.0.0.1", "port": port, **keys}))
        self.delivery.start()

    def tell(self, seq: int, **keys: Any) -> Event:
        event = {"id": uuid7(), "seq": seq, "type": "start", "camera": "hive", "label": "hornet", **keys}
        self.outbox.promise(event, ["mqtt"])
        self.delivery.deliver(event)
        return event

    def close(self) -> None:
        self.delivery.end()
        self.delivery.close()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgekit.camera.source.feed.backoff.Backoff.next", lambda _: 0.05)
    monkeypatch.setattr("edgekit.camera.deliver.queued.queued._LOOK", 0.05)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    made = Mosquitto(tmp_path)
    yield made
    made.kill()


@pytest.fixture
def made() -> Iterator[Callable[..., Any]]:
    """Makes things that are closed at the end of the test."""
    things: list[Any] = []

    def make(kind: Any, *arguments: Any, **keys: Any) -> Any:
        things.append(kind(*arguments, **keys))
        return things[-1]

    yield make
    for thing in things:
        thing.close()


def test_events_states_and_the_picture(broker: Mosquitto, made: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "snapshots").mkdir()
    (tmp_path / "snapshots" / "a.jpg").write_bytes(b"\xff\xd8jpeg")
    listener = made(Listener, broker.port)
    camera = made(Camera, broker.port, f"store.folder={tmp_path}")
    picture = {"path": "snapshots/a.jpg", "sha256": "1"}
    events = [camera.tell(1, snapshot=picture), camera.tell(2, snapshot=picture), camera.tell(3, snapshot=None)]
    wait_for(lambda: len(listener.of("/events")) == 3, 10)
    assert [json.loads(text) for text in listener.of("/events")] == events
    assert listener.of("/snapshot") == [b"\xff\xd8jpeg"]  # once
    topics = [topic for topic, *_ in listener.got]
    assert topics.index("edgekit/box/hive/snapshot") < topics.index("edgekit/box/hive/events")
    camera.now = CameraNow("hive", False, "camera offline", "offline", {"hornet": 5, "bee": 0}, "risk")
    wait_for(lambda: listener.of("/level") == [b"none", b"risk"], 10)
    assert json.loads(listener.of("/counts")[-1]) == {"hornet": 5, "bee": 0}
    assert json.loads(listener.of("/status")[-1]) == {"state": "offline", "ready": False, "why": "camera offline"}
    time.sleep(0.2)
    assert len(listener.of("/status")) == 2  # only what changed
    camera.close()
    wait_for(lambda: listener.of("/availability")[-1] == b"offline", 10)
    late = made(Listener, broker.port, "edgekit/#")
    wait_for(lambda: len(late.got) == 6, 10)
    assert {topic.rpartition("/")[2] for topic, *_ in late.got} == {"availability", "status", "counts", "level",
                                                                   "enabled", "snapshot"}  # fmt: skip


def test_what_waited_for_the_broker_arrives_in_order(broker: Mosquitto, made: Callable[..., Any]) -> None:
    broker.kill()
    camera = made(Camera, broker.port)
    for seq in range(1, 51):
        camera.tell(seq)
    wait_for(lambda: "mqtt: " in camera.delivery.problem, 10)
    broker.start()
    listener = made(Listener, broker.port)
    wait_for(lambda: camera.outbox.waiting("mqtt") == 0, 20)
    numbers = [json.loads(text)["seq"] for text in listener.of("/events")]
    assert numbers == sorted(numbers)
    assert numbers[-1] == 50
    assert camera.delivery.problem == ""
    broker.kill()  # and once more, under way
    for seq in range(51, 61):
        camera.tell(seq)
    broker.start()
    wait_for(lambda: camera.outbox.waiting("mqtt") == 0, 20)


def test_the_birth_of_home_assistant_brings_discovery_and_states(broker: Mosquitto, made: Callable[..., Any]) -> None:
    camera = made(Camera, broker.port)
    listener = made(Listener, broker.port)
    wait_for(lambda: bool(listener.of("/config")) and bool(listener.of("/enabled")), 10)
    before = len(listener.got)
    begun = time.monotonic()
    listener.say("homeassistant/status", "online")
    ends = {"config", "availability", "status", "counts", "level", "enabled"}
    wait_for(lambda: {t.rpartition("/")[2] for t, *_ in listener.got[before + 1 :]} >= ends, 10)
    print(f"birth message to discovery and states: {time.monotonic() - begun:.2f} s")
    assert time.monotonic() - begun < 10
    order = [topic.rpartition("/")[2] for topic, *_ in listener.got[before + 1 :]]
    assert order.index("config") < order.index("availability") < order.index("level")
    listener.say("homeassistant/status", "offline")
    assert camera.delivery.problem == ""


def test_the_broker_says_when_the_camera_is_gone(broker: Mosquitto, made: Callable[..., Any]) -> None:
    camera = made(Camera, broker.port)
    listener = made(Listener, broker.port)
    wait_for(lambda: listener.of("/availability") == [b"online"], 10)
    link = camera.delivery._link
    assert link is not None
    link.close()  # as when the process is killed
    wait_for(lambda: listener.of("/availability")[:2] == [b"online", b"offline"], 10)
    wait_for(lambda: listener.of("/availability")[-1] == b"online", 10)  # and it comes back


def test_watching_is_switched_by_whoever_may_publish(broker: Mosquitto, made: Callable[..., Any]) -> None:
    camera = made(Camera, broker.port)
    deaf = made(Camera, broker.port, "device=deaf", switch=False)
    listener = made(Listener, broker.port)
    wait_for(lambda: len(listener.of("/enabled")) == 2, 10)
    for payload in ("OFF", "perhaps", "ON"):
        listener.say("edgekit/box/hive/enabled/set", payload)
        listener.say("edgekit/deaf/hive/enabled/set", payload)
    listener.say("edgekit/box/other/enabled/set", "OFF")
    wait_for(lambda: len(camera.switched) == 2, 10)
    assert camera.switched == [("hive", False), ("hive", True)]
    assert deaf.switched == []


def test_user_password_and_certificate(made: Callable[..., Any], tmp_path: Path) -> None:
    tool = shutil.which("mosquitto_passwd")
    if tool is None:
        pytest.skip("mosquitto_passwd is not installed")
    write_certificates(tmp_path)
    subprocess.run([tool, "-c", "-b", tmp_path / "users", "keeper7", "pa55w0rd"], check=True)
    broker = Mosquitto(tmp_path, "allow_anonymous false", f"password_file {tmp_path / 'users'}",
                       f"certfile {tmp_path / 'server.crt'}", f"keyfile {tmp_path / 'server.key'}")  # fmt: skip
    try:
        known: dict[str, Any] = {"user": "keeper7", "password": "pa55w0rd", "tls": True, "ca": tmp_path / "ca.crt"}

        def problem(**keys: Any) -> str:
            camera = made(Camera, broker.port, **{**known, **keys})
            wait_for(lambda: bool(camera.delivery.problem) or camera.delivery._link is not None, 10)
            return str(camera.delivery.problem)

        assert problem(host="localhost") == ""
        assert "certificate verify failed" in problem(host="localhost", ca=None)
        assert "refuses" in problem(host="localhost", password="wr0ngw0rd")
        assert "wr0ngw0rd" not in problem(host="localhost", password="wr0ngw0rd")
        assert problem(tls=False, ca=None, host="localhost") != ""
    finally:
        broker.kill()


def test_a_connection_that_is_over_holds_nothing(broker: Mosquitto) -> None:
    def held() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    def connect() -> None:
        link = Link(Broker("127.0.0.1", broker.port, "one"), "gone", lambda: None)
        link.publish("a", "b")
        link.close()

    connect()
    gc.collect()
    gc.disable()  # descriptors go at once, not at some time
    try:
        before = held()
        for _ in range(5):
            connect()
        assert held() == before
    finally:
        gc.enable()


@pytest.mark.parametrize("name", ["hive", "Hive", "Stock 3", "日本", "a/b", "+", "é", "a-b"])
def test_names_make_topics_and_stay_apart(name: str) -> None:
    assert set(slug(name)) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert slug(name) == slug(name)
    assert slug(name) != slug(name + "!")


@pytest.mark.parametrize("labels", [("hornet",), ("Vespa velutina", 'a "quoted" {{ label }}', "b'}}{%")])
def test_the_discovery_keeps_home_assistants_rules(
    labels: tuple[str, ...], broker: Mosquitto, made: Callable[..., Any]
) -> None:
    listener = made(Listener, broker.port, "homeassistant/device/#")
    camera = Camera.__new__(Camera)
    now = CameraNow("Stock 3", True, "", "online", dict.fromkeys(labels, 3), "none")
    camera.now, camera.switched, camera.said, camera.outbox = now, [], [], Outbox()
    setup = Setup(config_of("device=box"), False, lambda: 10.0, camera.outbox, camera.said.append, lambda: (now,))
    camera.delivery = Mqtt(setup, MqttKeys(host="127.0.0.1", port=broker.port))
    camera.delivery.start()
    wait_for(lambda: bool(listener.got), 10)
    camera.close()
    topic, payload, *_ = listener.got[0]
    parts = check_discovery(topic, payload)
    assert {part["platform"] for part in parts.values()} == {"sensor", "binary_sensor", "event", "image", "switch"}
    assert sum(name.startswith("count_") for name in parts) == len(labels)


def test_without_home_assistant_nothing_is_said_to_it(broker: Mosquitto, made: Callable[..., Any]) -> None:
    listener = made(Listener, broker.port)
    made(Camera, broker.port, discovery="", topic="home/bees")
    wait_for(lambda: bool(listener.of("/enabled")), 10)
    assert {topic.partition("/box/")[0] for topic, *_ in listener.got} == {"home/bees"}


@pytest.mark.parametrize("keys", [{"topic": "a/#"}, {"topic": ""}, {"topic": "/a"}, {"ca": "x"}, {"discovery": "a+"},
                                  {"port": 0}])  # fmt: skip
def test_what_cannot_be_is_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        MqttKeys(**{"host": "h", **keys})


def test_two_cameras_tell_and_are_switched(broker: Mosquitto, made: Callable[..., Any], tmp_path: Path) -> None:
    """The whole of it: frames, visits, store, broker; and back, the switch of one camera."""

    def sources(_: str) -> ListGrabber:
        return ListGrabber(frame for number in count() for frame in (0.02, spot(60 + number % 5, 60)))

    config = fleet(f"device = 'box'\nstore.folder = '{tmp_path / 'store'}'\nstore.reserve_mb = 0\n"
                   f"deliver.mqtt.host = '127.0.0.1'\ndeliver.mqtt.port = {broker.port}")  # fmt: skip
    listener = made(Listener, broker.port)
    with running(Fleet(config, sources)):
        for name in ("north", "east"):
            wait_for(lambda name=name: b"present" in listener.of(f"{name}/level"), 20)
            wait_for(lambda name=name: bool(listener.of(f"{name}/events") and listener.of(f"{name}/snapshot")), 20)
        assert len(listener.of("/config")) == 2
        assert json.loads(listener.of("north/counts")[-1])["hornet"] == 1
        listener.say("edgekit/box/north/enabled/set", "OFF")
        wait_for(lambda: listener.of("north/enabled")[-1] == b"OFF" and listener.of("north/level")[-1] == b"none", 20)
        wait_for(lambda: json.loads(listener.of("north/events")[-1])["type"] == "end", 20)
        assert listener.of("east/enabled")[-1] == b"ON"
        assert json.loads(listener.of("north/status")[-1])["why"] == "watching is switched off"
    assert listener.of("/availability")[-1] == b"offline"
    assert {json.loads(text)["type"] for text in listener.of("east/events")} == {"start", "end"}
