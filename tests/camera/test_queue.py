"""The deliveries' queue: everything arrives, in order, whatever dies meanwhile; what does not is counted and said."""

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgekit.camera.deliver import DELIVERIES
from edgekit.camera.deliver.base import Delivery, Event, Setup
from edgekit.camera.deliver.queued.queued import AnsweredError, QueuedDelivery, RefusedError
from edgekit.camera.deliver.queued.rules import QueueKeys, Rules
from edgekit.camera.events.uuid7 import uuid7
from edgekit.camera.events.visits import VisitEvent
from edgekit.camera.store.pending.outbox import Outbox
from edgekit.camera.store.pending.rows import Moment
from edgekit.camera.writing.frame_result import FrameResult
from edgekit.errors import UsageError
from tests.camera.conftest import config_of, found, wait_for, writer_of
from tests.camera.test_store import rows_of


class Post(QueuedDelivery):
    """Takes events into a list, after `before` was asked."""

    name = "post"
    Keys = QueueKeys
    arrived: list[Event]
    before: Callable[[Event], object]

    @classmethod
    def wanted(cls, setup: Setup, keys: Any) -> Delivery | None:
        return cls(setup, keys) if keys is not None else None

    def send(self, event: Event) -> None:
        type(self).before(event)
        self.arrived.append(event)


class Told:
    """A writer with a delivery `post`, that is told of visits."""

    def __init__(self, *changes: str) -> None:
        self.said: list[str] = []
        config = config_of("deliver.post.keep_hours=100", *changes)
        self.writer = writer_of(config, self.said.append)
        self.writer.start()

    def tell(self, kind: str, ident: str, label: str = "hornet") -> None:
        content = {"schema": "edgekit.visit/1", "id": ident, "type": kind, "label": label, "count_max": 1,
                   "start": "2026-08-01T10:00:00.000Z", "last_seen": "2026-08-01T10:00:00.000Z", "end": None,
                   "end_reason": None}  # fmt: skip
        event = VisitEvent(kind, ident, label, time.monotonic(), content)  # type: ignore[arg-type]
        self.writer.put(FrameResult(None, found(), time.monotonic(), (event,)))

    def visits(self, number: int = 5) -> None:
        for _ in range(number):
            ident = uuid7()
            for kind in ("start", "update", "end"):
                self.tell(kind, ident)

    @property
    def row(self) -> dict[str, Any]:
        (row,) = self.writer.deliveries
        return row

    def waits_for(self, *, waiting: int) -> None:
        wait_for(lambda: self.row["waiting"] == waiting, 10)


@pytest.fixture
def post(monkeypatch: pytest.MonkeyPatch) -> type[Post]:
    """`Post` in the table of deliveries, its list empty; no try waits long."""
    monkeypatch.setitem(DELIVERIES, "post", (__name__, "Post"))
    monkeypatch.setattr(Post, "arrived", [], raising=False)
    monkeypatch.setattr(Post, "before", lambda _: None, raising=False)
    monkeypatch.setattr("edgekit.camera.source.feed.backoff.Backoff.next", lambda _: 0.02)
    monkeypatch.setattr("edgekit.camera.deliver.queued.queued._LOOK", 0.02)
    monkeypatch.setattr("edgekit.camera.store.pending.outbox._SETTLE", 0.0)
    return Post


def down(_: Event) -> None:
    raise ConnectionError("nobody is there")


def in_order(events: list[Event]) -> bool:
    numbers = [event["seq"] for event in events]
    return numbers == sorted(set(numbers))


@pytest.mark.parametrize("kept", [True, False])
def test_events_arrive_in_order_and_wait_no_more(kept: bool, post: type[Post], tmp_path: Path) -> None:
    told = Told(*([f"store.folder={tmp_path}"] if kept else []))
    told.visits(5)
    wait_for(lambda: len(post.arrived) == 15, 10)
    told.waits_for(waiting=0)
    assert (told.row["delivered"], told.row["failed"], told.writer.problem) == (15, 0, "")
    told.writer.stop()
    assert in_order(post.arrived)
    assert not kept or [e["seq"] for e in post.arrived] == list(rows_of(tmp_path))


def test_what_waits_outlives_the_process(post: type[Post], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Post, "before", down)
    told = Told(f"store.folder={tmp_path}")
    told.visits(3)
    told.waits_for(waiting=9)
    wait_for(lambda: "nobody is there" in told.writer.problem, 10)
    told.writer.stop()
    assert told.writer.dropped["events_lost"] == 0
    assert told.said.count("error: post: nobody is there") == 1
    monkeypatch.setattr(Post, "before", lambda _: None)
    again = Told(f"store.folder={tmp_path}")
    again.visits(1)
    wait_for(lambda: len(post.arrived) == 12, 10)
    again.writer.stop()
    assert [e["seq"] for e in post.arrived] == list(rows_of(tmp_path))


def test_without_a_store_what_never_arrived_is_lost_and_counted(
    post: type[Post], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Post, "before", down)
    monkeypatch.setattr("edgekit.camera.store.pending.outbox._HELD", 6)
    told = Told()
    told.visits(3)
    told.waits_for(waiting=6)  # and no more in memory
    told.writer.stop()
    assert told.row["failed"] == 9
    assert told.row["waiting"] == 0


def test_deliveries_go_on_while_the_disk_takes_nothing(
    post: type[Post], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = Told(f"store.folder={tmp_path}")
    told.visits(1)
    wait_for(lambda: len(post.arrived) == 3, 10)
    store = told.writer.store
    assert store is not None
    with monkeypatch.context() as full:
        full.setattr("edgekit.camera.store.store._RETRY", 0.05)
        full.setattr(store, "_written", lambda _: store._later("the database cannot be written: full"))
        told.visits(2)
        wait_for(lambda: len(post.arrived) == 9, 10)
        assert len(rows_of(tmp_path)) == 3
    told.tell("start", uuid7())
    wait_for(lambda: len(rows_of(tmp_path)) == 10 and len(post.arrived) == 10, 10)
    told.writer.stop()
    assert [e["seq"] for e in post.arrived] == list(rows_of(tmp_path))  # none twice


def test_no_delivery_sees_an_event_before_it_is_on_the_disk(
    post: type[Post], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing: list[int] = []

    def look(event: Event) -> None:
        if event["seq"] not in rows_of(tmp_path):
            missing.append(event["seq"])

    monkeypatch.setattr(Post, "before", look)
    told = Told(f"store.folder={tmp_path}")
    told.visits(10)
    wait_for(lambda: len(post.arrived) == 30, 10)
    told.writer.stop()
    assert missing == []


def test_what_is_refused_is_given_up_and_the_next_is_told(
    post: type[Post], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses_updates(event: Event) -> None:
        if event["type"] == "update":
            raise RefusedError("the server answered 413")

    monkeypatch.setattr(Post, "before", refuses_updates)
    told = Told(f"store.folder={tmp_path}")
    told.visits(3)
    wait_for(lambda: len(post.arrived) == 6, 10)
    told.writer.stop()
    assert [e["type"] for e in post.arrived] == ["start", "end"] * 3
    assert (told.row["delivered"], told.row["failed"]) == (6, 3)
    assert told.said == ["error: post: an event is given up: it was refused: the server answered 413"]


def test_one_that_always_fails_does_not_hold_up_the_others_for_ever(
    post: type[Post], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[str] = []

    def breaks_on_start(event: Event) -> None:
        if event["type"] == "start":
            tries.append(event["id"])
            raise AnsweredError("the server answered 500")

    monkeypatch.setattr(Post, "before", breaks_on_start)
    told = Told(f"store.folder={tmp_path}")
    told.visits(2)
    wait_for(lambda: len(post.arrived) == 4, 10)
    told.writer.stop()
    assert [e["type"] for e in post.arrived] == ["update", "end"] * 2
    assert len(tries) == 24
    assert told.row["failed"] == 2


def test_a_secret_that_an_error_quotes_is_not_repeated(
    post: type[Post], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def quotes(_: Event) -> None:
        raise OSError("no route to mqtt://keeper:swordfish@h with hunter2222\nand more")

    monkeypatch.setattr(Post, "before", quotes)
    monkeypatch.setattr(Post, "secrets", ("hunter2222",))
    told = Told(f"store.folder={tmp_path}")
    told.visits(1)
    wait_for(lambda: bool(told.writer.problem), 10)
    told.writer.stop()
    assert told.row["last_problem"] == "post: no route to mqtt://***@h with ***\\x0aand more"


@pytest.mark.parametrize(("wall", "same_boot", "age"), [(0, False, 0), (-500, False, 500), (10**9, False, 0),
                                                        (-(10**9), True, 20), (10**9, True, 20)])  # fmt: skip
def test_an_age_does_not_follow_a_clock_that_was_set(
    wall: float, same_boot: bool, age: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgekit.camera.store.pending.rows.boot_id", lambda: "this boot")
    monkeypatch.setattr("edgekit.camera.store.pending.rows.plausible", lambda _: True)
    then = Moment(time.time() + wall if wall else 0.0, "this boot" if same_boot else "another", time.monotonic() - 20)
    assert then.age == pytest.approx(age, abs=1)


def test_what_is_too_old_is_given_up(post: type[Post], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Post, "attend", lambda _: down({}))  # nobody is there, for longer than it keeps
    told = Told(f"store.folder={tmp_path}", "deliver.post.keep_hours=1")
    told.visits(1)
    told.waits_for(waiting=3)
    monkeypatch.setattr(Moment, "age", property(lambda _: 3601.0))
    told.waits_for(waiting=0)
    told.writer.stop()
    assert (post.arrived, told.row["failed"]) == ([], 3)
    assert "error: post: an event is given up: nobody took it for 1 hours" in told.said


def test_what_a_delivery_owes_that_is_not_configured_any_more_is_forgotten(
    post: type[Post], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Post, "before", down)
    told = Told(f"store.folder={tmp_path}")
    told.visits(1)
    told.waits_for(waiting=3)
    told.writer.stop()
    said: list[str] = []
    config = config_of(f"store.folder={tmp_path}")
    writer = writer_of(config, said.append)
    writer.start()
    writer.stop()
    assert said == ["3 events waited for deliveries that are not configured any more: given up"]
    monkeypatch.setattr(Post, "before", lambda _: None)
    again = Told(f"store.folder={tmp_path}")
    again.writer.stop()
    assert post.arrived == []


def test_what_was_owed_in_a_deleted_store_is_counted(
    post: type[Post], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Post, "before", down)
    monkeypatch.setattr("edgekit.camera.store.store._LOOK", 0.0)
    told = Told(f"store.folder={tmp_path / 'store'}")
    told.visits(2)
    told.waits_for(waiting=6)
    shutil.rmtree(tmp_path / "store")
    told.waits_for(waiting=0)
    assert told.row["failed"] == 6
    told.tell("start", uuid7())
    told.waits_for(waiting=1)
    told.writer.stop()


def test_a_thread_that_hangs_is_replaced_and_does_nothing_more(
    post: type[Post], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hung, goes_on = threading.Event(), threading.Event()

    def hangs(_: Event) -> None:
        if not hung.is_set():
            hung.set()
            goes_on.wait(30)
            raise RefusedError("too late to say so")

    monkeypatch.setattr(Post, "before", hangs)
    told = Told(f"store.folder={tmp_path}")
    told.visits(1)
    assert hung.wait(10)
    (outlet,) = told.writer._fan_out._outlets
    delivery = outlet.delivery
    assert isinstance(delivery, Post)
    wait_for(lambda: delivery.stuck_for > 0.05, 10)
    delivery.renew()
    wait_for(lambda: len(post.arrived) == 3, 10)
    goes_on.set()
    told.writer.stop()
    assert [e["type"] for e in post.arrived] == ["start", "update", "end"]
    assert told.row["failed"] == 0


def test_a_collision_of_numbers_loses_no_delivery(tmp_path: Path) -> None:
    from tests.camera.test_store import event, opened

    outbox = Outbox(tmp_path / "visits.db")
    store = opened(tmp_path)
    store._outbox = store._unwritten._outbox = outbox
    store.add(event(uuid7(), seq=7), ["post"])
    store.add(event(uuid7(), seq=7), ["post"])
    taken = []
    while (owed := outbox.first("post")) is not None:
        taken.append(owed.seq)
        outbox.done("post", owed.seq)
    store.close()
    assert taken == [7, 8]


def event_of(**keys: Any) -> Event:
    return {"id": "a", "type": "start", "label": "hornet", "count_max": 1, "last_seen": "2026-08-01T12:00:00.000Z",
            "end_reason": None, **keys}  # fmt: skip


@pytest.mark.parametrize(
    ("keys", "event", "told"),
    [
        ({}, {}, True),
        ({"labels": ("bee",)}, {}, False),
        ({"labels": ("bee",)}, {"label": "bee"}, True),
        ({"level": "risk"}, {"count_max": 4}, False),
        ({"level": "risk"}, {"count_max": 5}, True),
        ({"level": "risk"}, {"count_max": 50, "label": "bee"}, False),
        ({"hours": ("11:00-13:00",)}, {}, True),
        ({"hours": ("13:00-14:00",)}, {}, False),
        ({"hours": ("22:00-06:00",)}, {}, False),
        ({"hours": ("22:00-06:00",)}, {"last_seen": "2026-08-01T23:00:00.000Z"}, True),
        ({"hours": ("22:00-06:00",)}, {"last_seen": "2026-08-01T05:59:00.000Z"}, True),
        ({"hours": ("22:00-06:00",)}, {"last_seen": "2026-08-01T06:00:00.000Z"}, False),
        ({"hours": ("20:00-24:00",)}, {"last_seen": "2026-08-01T23:59:00.000Z"}, True),
        ({"lost": False}, {"type": "lost", "label": ""}, False),
        ({"labels": ("bee",)}, {"type": "lost", "label": ""}, True),
    ],
)
def test_rules(keys: dict[str, Any], event: dict[str, Any], told: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    assert Rules(QueueKeys(**keys)).take(event_of(**event)) == told


def test_a_visit_is_told_of_to_its_end_and_so_many_an_hour() -> None:
    now = [0.0]
    rules = Rules(QueueKeys(per_hour=2, level="risk"), lambda: now[0])
    assert not rules.take(event_of(id="a"))
    assert rules.take(event_of(id="a", type="update", count_max=5))
    assert rules.take(event_of(id="a", type="end", count_max=5))
    assert rules.take(event_of(id="b", count_max=7))
    assert not rules.take(event_of(id="c", count_max=7))
    assert rules.take(event_of(id="b", type="end", count_max=7))
    now[0] = 3600
    assert rules.take(event_of(id="c", type="update", count_max=7))
    once = Rules(QueueKeys(once=True))
    assert [once.take(event_of(type=kind)) for kind in ("start", "update", "end")] == [True, False, False]
    crash = event_of(id="old", type="end", end_reason="crash")
    assert (Rules(QueueKeys()).take(crash), Rules(QueueKeys(once=True)).take(crash)) == (True, False)


@pytest.mark.parametrize("change", ["hours=['7-9']", "hours=['25:00-26:00']", "hours=['20:00-24:30']", "level=much",
                                    "per_hour=-1", "keep_hours=0"])  # fmt: skip
def test_a_rule_that_is_none_is_refused(change: str, post: type[Post]) -> None:
    with pytest.raises(UsageError):
        Told(f"deliver.post.{change}")
