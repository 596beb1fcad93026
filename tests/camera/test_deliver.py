"""Deliveries: each gets every event, whatever the others do, and what one does wrong is counted under its name."""

import errno
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from edgekit.camera.deliver import DELIVERIES, delivery_class, make_deliveries
from edgekit.camera.deliver.base import Delivery, Event, Setup
from edgekit.camera.deliver.fan_out import FanOut
from edgekit.camera.deliver.listener import ListenerDelivery
from edgekit.camera.deliver.video_file import VideoFile
from edgekit.camera.event_writer import EventWriter
from edgekit.camera.events.visits import VisitEvent
from edgekit.camera.writing.frame_result import FrameResult
from edgekit.config.tables import Table
from edgekit.errors import UsageError
from tests.camera.conftest import config_of, found, spot, writer_of


@dataclass
class Told:
    said: list[str]
    writer: EventWriter

    @property
    def rows(self) -> dict[str, tuple[int, int, int, str]]:
        """name: (delivered, failed, waiting, last problem)."""
        keys = ("delivered", "failed", "waiting", "last_problem")
        return {row["name"]: tuple(row[key] for key in keys) for row in self.writer.deliveries}  # type: ignore[misc]


def tell(*listeners: Callable[[dict[str, Any]], None], changes: tuple[str, ...] = (), events: int = 2) -> Told:
    """Tells listeners, and what `changes` switch on, of so many events."""
    said: list[str] = []
    config = config_of(*changes)
    writer = writer_of(config, said.append, listeners=listeners)
    writer.start()
    for number in range(events):
        content = {"schema": "edgekit.visit/1", "id": str(number), "type": "start", "label": "hornet", "tracks": [1]}
        event = VisitEvent("start", str(number), "hornet", time.monotonic(), content)
        writer.put(FrameResult(None, found(), time.monotonic(), (event,)))
    assert writer.stop(5)
    return Told(said, writer)


def raises(_: dict[str, Any]) -> None:
    raise ValueError("not today")


def exits(_: dict[str, Any]) -> None:
    sys.exit(1)


def spoils(event: dict[str, Any]) -> None:
    event["tracks"].append(99)
    event.pop("id")


@pytest.mark.parametrize("bad", [raises, exits, spoils])
def test_what_one_listener_does_takes_nothing_from_the_others(bad: Callable[[dict[str, Any]], None]) -> None:
    first: list[dict[str, Any]] = []
    last: list[dict[str, Any]] = []
    tell(first.append, bad, last.append)
    assert [(event["id"], event["tracks"]) for event in first] == [("0", [1]), ("1", [1])]
    assert last == first


def test_what_did_not_arrive_is_counted_and_named() -> None:
    got: list[dict[str, Any]] = []

    def second_only(event: dict[str, Any]) -> None:
        if event["seq"] == 1:
            raise OSError("no route to mqtt://keeper:secret@hive.local")

    told = tell(raises, got.append, second_only, events=3)
    assert told.rows == {
        "listener 1": (0, 3, 0, "listener 1 failed: ValueError: not today"),
        "listener 2": (3, 0, 0, ""),
        "listener 3": (2, 1, 0, "listener 3 failed: OSError: no route to mqtt://***@hive.local"),
    }
    assert told.writer.problem == "listener 1 failed: ValueError: not today"  # the others are well again
    assert told.said == [
        "error: listener 1 failed: ValueError: not today",
        "error: listener 3 failed: OSError: no route to mqtt://***@hive.local",
        "listener 3: all is well again",
    ]


def test_lines_that_nobody_took_did_not_arrive(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def dead(*_: object) -> int:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    with (tmp_path / "lines").open("w") as stdout:
        monkeypatch.setattr("sys.stdout", stdout)
        monkeypatch.setattr("edgekit.camera.deliver.lines.os.write", dead)
        told = tell(changes=("output.json_lines=true",))
    assert told.rows == {"lines": (0, 2, 0, "the lines on stdout cannot be written: Broken pipe")}
    assert told.writer.dropped["lines_lost"] == 2


def test_a_video_that_cannot_be_written_ends_and_nothing_else_does(tmp_path: Path) -> None:
    got: list[dict[str, Any]] = []
    (tmp_path / "v.mp4").touch()
    said: list[str] = []
    video = VideoFile(tmp_path / "v.mp4", lambda: 0.0)  # no encoder writes frames at no rate
    fan_out = FanOut([video, ListenerDelivery("listener 1", got.append)], said.append)
    for number in range(2):
        fan_out.show(spot(50, 50), number)
        fan_out.deliver({"seq": number})
    fan_out.close()
    assert len(got) == 2
    assert len(said) == 1
    assert said[0].startswith("error: the annotated video ends here: ")
    assert not fan_out.takes_frames
    assert fan_out.problem == ""
    video_row, listener_row = fan_out.status()
    assert (video_row["name"], video_row["delivered"], video_row["failed"]) == ("video", 0, 1)
    assert video_row["last_problem"].startswith("the annotated video ends here: ")
    assert listener_row["delivered"] == 2


def test_a_flush_that_goes_well_does_not_mend_what_failed() -> None:
    said: list[str] = []
    fan_out = FanOut([ListenerDelivery("listener 1", raises)], said.append)
    fan_out.deliver({})
    fan_out.flush()
    assert "not today" in fan_out.problem
    assert len(said) == 1


class Toy(Delivery):
    """A delivery with keys of its own, as a later one will have."""

    name = "toy"

    class Keys(Table):
        topic: str
        password: str = ""

    def __init__(self, keys: Keys) -> None:
        self.keys, self.events, self.closed = keys, list[Event](), False

    @classmethod
    def wanted(cls, setup: Setup, keys: Any) -> Delivery | None:
        return cls(keys) if keys is not None else None

    def deliver(self, event: Event) -> None:
        self.events.append(event)

    def close(self) -> None:
        self.closed = True


def test_a_delivery_is_one_line_and_brings_its_own_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DELIVERIES, "toy", (__name__, "Toy"))
    assert make_deliveries(Setup(config_of(), False, lambda: 10.0)) == []
    config = config_of("deliver.toy.topic=hive", "deliver.toy.password=swordfish")
    assert "swordfish" not in repr(config)
    (toy,) = make_deliveries(Setup(config, False, lambda: 10.0))
    assert isinstance(toy, Toy)
    assert toy.keys == Toy.Keys(topic="hive", password="swordfish")
    fan_out = FanOut([toy], print)
    fan_out.deliver({"seq": 1})
    fan_out.close()
    assert (toy.events, toy.closed) == ([{"seq": 1}], True)
    assert tell(changes=("deliver.toy.topic=hive",)).rows == {"toy": (2, 0, 0, "")}


@pytest.mark.parametrize(
    ("change", "got", "fix"),
    [
        ("deliver.toys.topic=x", "[deliver.toys]", "did you mean toy?"),
        ("deliver.lines.x=1", "[deliver.lines]", "leave it out"),
        ("deliver.toy.topik=x", "unknown key topik", "did you mean topic?"),
        ("deliver.toy.password=swordfish", "no topic", None),
        ('deliver.toy={topic=1, password=["swordfish"]}', "topic = a hidden value", None),
    ],
)
def test_a_wrong_delivery_is_named(change: str, got: str, fix: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DELIVERIES, "toy", (__name__, "Toy"))
    with pytest.raises(UsageError) as error:
        make_deliveries(Setup(config_of(change), False, lambda: 10.0))
    assert (error.value.got, error.value.fix) == (got, fix)
    assert "swordfish" not in str(error.value)


def test_deliveries_are_called_what_the_table_calls_them() -> None:
    assert {name: delivery_class(name).name for name in DELIVERIES} == {name: name for name in DELIVERIES}
