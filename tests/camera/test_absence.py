"""A camera that is lost for minutes is told of, and its return; a switch stops the watching; news is read by number."""

import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from edgekit.camera.events.absence import Absence
from edgekit.camera.looking.now import now_of
from edgekit.camera.store.reader import Reader
from edgekit.errors import SourceError
from tests.camera.conftest import ListGrabber, spot, wait_for
from tests.camera.test_fleet import Fleet, fleet, running
from tests.camera.test_store import event, opened, rows_of
from tests.camera.test_web import Site


@pytest.mark.parametrize("bad", ["offline", "stalled", "frozen", "connecting"])
def test_a_camera_is_lost_once_and_comes_back_once(bad: str) -> None:
    absence, began = Absence(100.0), 100.0
    told = [(at, one) for at in range(100, 2000, 10) for one in absence.see(bad, "no route", at, 600)]
    ((at, lost),) = told
    assert (at, lost.kind) == (700, "lost")
    assert lost.content["why"] == f"{bad}: no route"
    for state in ("dark", "online", "online"):
        told += [(2000, one) for one in absence.see(state, "", 2000, 600)]
    (_, back) = told[-1]
    assert (len(told), back.kind, back.ident) == (2, "back", lost.ident)
    assert back.content["start"] == lost.content["start"]
    assert back.content["end"] == back.content["last_seen"]
    assert absence.see(bad, "", 2599, 600) == ()
    assert [one.kind for one in absence.see(bad, "", 2600, 600)] == ["lost"]
    assert Absence(began).see(bad, "", 10**6, 0) == ()


def moving(number: int) -> Any:
    return spot(60 + number % 5, 60)


def test_it_is_told_by_the_camera_that_it_is_of_and_is_no_visit(tmp_path: Path) -> None:
    away = [True]

    def sources(name: str) -> ListGrabber:
        if name == "north" and away[0]:
            raise SourceError("nobody is there")
        return ListGrabber(frame for number in count() for frame in (0.02, moving(number)))

    config = fleet(f"source.lost_after = 0.3\nsource.retry_longest = 1\nstore.folder = '{tmp_path}'\n"
                   "store.reserve_mb = 0")  # fmt: skip
    with running(Fleet(config, sources)) as told:

        def of(kind: str) -> list[dict[str, Any]]:
            return [one for one in told.events if one["type"] == kind]

        wait_for(lambda: bool(of("lost")), 10)
        away[0] = False
        wait_for(lambda: bool(of("back")), 10)
    (lost,), (back,) = of("lost"), of("back")
    assert (lost["camera"], lost["schema"], lost["id"]) == ("north", "edgekit.camera/1", back["id"])
    assert "nobody is there" in lost["why"]
    assert rows_of(tmp_path)[lost["seq"]] == lost
    assert lost["id"] not in {visit["id"] for visit in Reader(tmp_path).visits()}
    opened(tmp_path).close()  # and does not take it for a visit that never ended


def test_watching_is_switched_off_and_on(tmp_path: Path) -> None:
    frames = (frame for number in count() for frame in (0.02, moving(number)))
    with running(Fleet(fleet(names=("north",)), lambda _: ListGrabber(frames))) as told:
        camera = told.camera
        wait_for(lambda: any(one["type"] == "start" for one in told.events), 10)
        wait_for(lambda: now_of(camera.lookout).level == "present", 10)
        camera.switch("north", False)
        camera.switch("nobody", False)
        wait_for(lambda: any(one["type"] == "end" for one in told.events), 10)
        looks, now = told.looks("north"), now_of(camera.lookout)
        assert (now.enabled, now.ready, now.why, now.level) == (False, False, "watching is switched off", "none")
        assert set(now.counts.values()) == {0}
        time.sleep(0.2)
        assert told.looks("north") <= looks + 1
        assert not camera._lookout(camera.lookout.config).health.watching  # a loop in its place is as the switch says
        camera.switch("north", True)
        told.more_looks("north")
        assert now_of(camera.lookout).ready
    assert told.said.count("north: watching is switched off") == 1


def test_what_is_new_is_read_by_number(tmp_path: Path) -> None:
    store = opened(tmp_path)
    for number in range(1, 6):
        store.add(event(f"{number:036}", "start", seq=number * 10))
    reader = Reader(tmp_path)
    assert [e["seq"] for e in reader.events(0, 3)[1]] == [10, 20, 30]
    assert reader.events(30, 3)[0] == 50
    assert reader.events(50, 3) == (50, [])
    store.close()


def test_the_oldest_rows_take_those_of_no_visit_along(tmp_path: Path) -> None:
    store = opened(tmp_path, rows_mb=0.2, quota_mb=2)
    store.add(event("lost".ljust(36, "-"), "lost", seq=store.next_seq()))
    for number in range(120):
        store.add(event(f"{number:036}", seq=store.next_seq(), padding="x" * 2000))
    store.tidy(force=True)
    kept = rows_of(tmp_path)
    store.close()
    assert 0 < len(kept) < 121
    assert "lost" not in {one["type"] for one in kept.values()}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    pytest.importorskip("starlette")
    site = Site(tmp_path_factory.mktemp("feed"), "visits.update_every=0.1")
    yield site
    site.close()


def test_a_program_reads_the_feed(site: Site) -> None:
    wait_for(lambda: len(site.json("/api/events")["events"]) >= 2, 30)
    first = site.json("/api/events?limit=1")
    assert len(first["events"]) == 1
    rest = site.json(f"/api/events?after={first['after']}")
    assert [e["seq"] for e in rest["events"]] == sorted(e["seq"] for e in rest["events"])
    assert rest["events"][0]["seq"] > first["after"] == first["events"][0]["seq"]
    last = site.json(f"/api/events?after={10**12 * 4}")
    assert last == {"events": [], "after": 4 * 10**12}


@pytest.mark.parametrize("query", ["after=-1", "after=x", "after=1e3", "limit=0", "limit=501", "after=9" + "9" * 30])
def test_a_question_that_is_none_is_refused(query: str, site: Site) -> None:
    assert site.get(f"/api/events?{query}")[0] == 400
