"""What the page's own questions are answered: now, today, the season, tables, zones; and hostile ones."""

import csv
import io
import json
import socket
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from edgekit.camera.clock import iso
from edgekit.camera.store.database import insert_counts, insert_event, open_database
from edgekit.camera.store.reader import Reader
from edgekit.camera.track.kept_zones import read_drawn
from tests.camera.conftest import wait_for
from tests.camera.test_marking import JSON
from tests.camera.test_web import Site

pytest.importorskip("starlette")
from edgekit.camera.events.uuid7 import uuid7
from edgekit.camera.web.numbers import _midnight, _season, _today

CORNERS = [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9]]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("answers"))
    wait_for(lambda: bool(site.json("/api/visits")), 20)
    yield site
    site.close()


def table(site: Site, path: str) -> list[dict[str, str]]:
    status, body, headers = site.get(path)
    assert status == 200
    assert headers["content-type"].startswith("text/csv")
    assert headers["content-disposition"].startswith("attachment")
    return list(csv.DictReader(io.StringIO(body.decode())))


def test_now_and_today(site: Site) -> None:
    status = site.json("/api/status")
    assert status["watching"] is True
    assert status["now"]["level"] == "present"
    assert status["now"]["counts"] == {"bee": 0, "hornet": 1}
    assert 0 <= status["frame_age"] < 10
    assert [one["camera"] for one in status["cameras"]] == ["hive"]
    wait_for(lambda: bool(site.json("/api/today")["labels"].get("hornet", {}).get("most")), 20)
    today = site.json("/api/today")["labels"]["hornet"]
    assert (today["most"], today["level"], today["visits"]) == (1, "present", 1)
    assert today["first"] == today["last"] == site.json("/api/visits")[0]["start"]


def test_who_cannot_be_told_is_not_what_cannot_be_kept(tmp_path: Path) -> None:
    def refuse(_: Any) -> None:
        raise ConnectionError("nobody there")

    site = Site(tmp_path, listeners=(refuse,))
    try:
        wait_for(lambda: "nobody there" in site.json("/api/status")["output"]["undelivered"], 20)
        status = site.json("/api/status")
        assert (status["ready"], status["watching"]) == (False, True)
        assert status["output"]["trouble"] == status["output"]["undelivered"]
    finally:
        site.close()


def test_tables(site: Site) -> None:
    wait_for(lambda: bool(site.json("/api/counts?days=3")["labels"]), 20)
    (visit,) = table(site, "/api/visits.csv")
    told = site.json("/api/visits")[0]
    assert (visit["id"], visit["label"], visit["start"]) == (told["id"], "hornet", told["start"])
    rows = table(site, "/api/days.csv")
    hornet = next(row for row in rows if row["label"] == "hornet")
    assert (hornet["most_at_once"], hornet["level"]) == ("1", "present")
    assert table(site, "/api/days.csv?year=1971") == []
    season = site.json("/api/season")
    assert season["labels"]["hornet"] == [1]
    assert season["days"] == [site.json("/api/today")["day"]]


def test_zones_are_drawn_taken_and_kept(site: Site) -> None:
    assert site.json("/api/zones") == {"camera": "hive", "zones": [], "kept": True, "drawn": False}
    drawn = {"zones": [{"name": "the slot", "use": "ignore", "points": CORNERS}]}
    status, body, _ = site.get("/api/zones", "POST", json.dumps(drawn), **JSON)
    told = json.loads(body)
    assert (status, told["taken"], told["zones"]) == (200, True, drawn["zones"])
    assert site.json("/api/zones")["zones"] == drawn["zones"]
    folder = site.camera.config.store.folder
    assert folder is not None
    kept = read_drawn(folder, "hive")
    assert kept is not None
    assert kept[0].name == "the slot"
    assert any("drawn on the page" in line for line in site.said)
    status, body, _ = site.get("/api/zones", "POST", '{"zones": []}', **JSON)
    assert (status, json.loads(body)["zones"], json.loads(body)["drawn"]) == (200, [], True)
    status, body, _ = site.get("/api/zones", "POST", json.dumps(drawn), **JSON)
    assert len(site.camera.lookout.config.zones) == 1
    status, body, _ = site.get("/api/zones", "POST", '{"zones": null}', **JSON)
    assert (status, json.loads(body)) == (
        200,
        {"camera": "hive", "zones": [], "kept": True, "drawn": False, "taken": True},
    )
    assert read_drawn(folder, "hive") is None
    assert site.camera.lookout.config.zones == ()


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ("{", {}, 400), ("[]", {}, 400), ("{}", {}, 400), ('{"zones": 1}', {}, 400), ('{"zones": [{}]}', {}, 400),
        ('{"zones": [{"name": "x", "points": [[0, 0], [NaN, 1], [1, 1]]}]}', {}, 400),
        ('{"zones": [' + "[" * 5000, {}, 400), (" " * 200_000, {}, 413),
        ('{"zones": []}', {"Content-Type": "text/plain"}, 415), ('{"zones": []}', {"Origin": "https://a.org"}, 403),
    ],
)  # fmt: skip
def test_what_is_no_drawing_is_refused(site: Site, body: str, headers: dict[str, str], status: int) -> None:
    folder = site.camera.config.store.folder
    assert folder is not None
    before = read_drawn(folder, "hive")
    code, answer, _ = site.get("/api/zones", "POST", body, **{**JSON, **headers})
    assert code == status
    assert json.loads(answer)["error"]
    assert read_drawn(folder, "hive") == before


def test_a_camera_that_is_none(site: Site) -> None:
    assert site.get("/api/zones?camera=hive")[0] == 200
    for name in ("another", "%00", "hive%0a"):
        assert site.get(f"/api/zones?camera={name}")[0] == 404


def test_questions_out_of_bounds_are_answered_within_them(site: Site) -> None:
    for year in ("0", "1", "99999", "999999", "-1", "x", "%D9%A3"):
        assert site.get(f"/api/season?year={year}")[0] == 200
        assert site.get(f"/api/days.csv?year={year}")[0] == 200


def test_who_reads_a_large_table_slowly_holds_up_nobody(tmp_path: Path) -> None:
    db = open_database(tmp_path / "visits.db")
    with db:
        for seq in range(1, 2501):
            insert_event(db, event("hornet", time.time() - 9000 + seq, seq))
    db.close()
    site = Site(tmp_path)
    links = [socket.create_connection(("127.0.0.1", site.page.port)) for _ in range(20)]
    try:
        for link in links:
            link.sendall(b"GET /api/visits.csv HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for path in ("/livez", "/api/status", "/api/today", "/api/season", "/api/visits", "/page.js") * 3:
            assert site.get(path)[0] == 200
        assert len(table(site, "/api/visits.csv")) >= 2500
    finally:
        for link in links:
            link.close()
        site.close()


# --- a season, as a store has it ---


def event(label: str, at: float, seq: int) -> dict[str, Any]:
    return {"id": uuid7(at), "seq": seq, "type": "end", "label": label, "start": iso(at), "last_seen": iso(at + 5),
            "zones": ["=cmd|' /C calc'!A0"], "count_max": 7, "top_score": 0.9}  # fmt: skip


@pytest.fixture
def season(tmp_path: Path) -> Reader:
    """The last 40 days but the tenth: a hornet more every five days, and today three visits of five hornets."""
    db = open_database(tmp_path / "visits.db")
    midnight = _midnight(datetime.now().date())
    with db:
        for ago in range(40):
            noon = int(_midnight(datetime.now().date() - timedelta(ago)) + 43200) // 900 * 900
            if ago != 10:
                most = {("hornet", noon): ago // 5, ("hornet", noon + 900): 0, ("bee", noon): 30}
                insert_counts(db, {("hive", *key): number for key, number in most.items()},
                              {("hive", noon): 900.0, ("hive", noon + 900): 450.0})  # fmt: skip
        for seq, at in enumerate((midnight - 60, midnight + 1, midnight + 30, midnight + 90), 1):
            insert_event(db, event("hornet", at, seq))
    db.close()
    return Reader(tmp_path)


def test_today_begins_at_midnight(season: Reader) -> None:
    midnight = _midnight(datetime.now().date())
    found = _today(season)["labels"]
    assert found["hornet"]["visits"] == 3
    assert (found["hornet"]["first"], found["hornet"]["last"]) == (iso(midnight + 1), iso(midnight + 90))
    assert (found["bee"]["most"], found["bee"]["level"], found["bee"]["visits"]) == (30, None, 0)


def test_a_season_has_every_day_from_the_first_watched_one(season: Reader) -> None:
    whole: dict[str, int] = {}
    watched: dict[str, float] = {}
    for year in {datetime.now().year, (datetime.now() - timedelta(40)).year}:
        found = _season(season, year)
        assert all(len(rows) == len(found["days"]) for rows in (*found["labels"].values(), found["watched"]))
        whole |= dict(zip(found["days"], found["labels"]["hornet"], strict=True))
        watched |= dict(zip(found["days"], found["watched"], strict=True))
    days = sorted(whole)
    assert len(days) == 40
    assert [whole[day] for day in reversed(days)] == [0 if ago == 10 else ago // 5 for ago in range(40)]
    assert [watched[day] for day in reversed(days)] == [0 if ago == 10 else 1350 for ago in range(40)]


def test_a_table_holds_no_formula(season: Reader) -> None:
    from edgekit.camera.web.numbers import _lines, _row

    text = _lines(_row(visit, None) for visit in season.visits()).decode()
    assert "'=cmd" in text
    assert ",=cmd" not in text
    assert len(text.splitlines()) == 4


def test_a_year_of_quarters_is_summed_quickly(tmp_path: Path) -> None:
    """366 days of 96 quarters and three labels, in the time that a phone waits."""
    db = open_database(tmp_path / "visits.db")
    first = _midnight(datetime(2027, 1, 1).date())
    quarters = [int(first) + 900 * i for i in range(365 * 96)]
    with db:
        most = {("hive", label, at): 1 for label in ("a", "b", "c") for at in quarters}
        insert_counts(db, most, {("hive", at): 9.0 for at in quarters})
    db.close()
    begun = time.process_time()
    assert len(_season(Reader(tmp_path), 2027)["days"]) == 365
    assert time.process_time() - begun < 2
