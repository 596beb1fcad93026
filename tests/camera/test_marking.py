"""On the page a visit is called right, false or another insect; that is kept, and nobody else can say it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgekit.artifacts.marks import read_marks
from edgekit.vision.image import read_picture
from tests.camera.conftest import wait_for
from tests.camera.test_web import Site

JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("marked"))
    wait_for(lambda: bool(site.json("/api/visits")), 20)
    yield site
    site.close()


def say(site: Site, what: Any, ident: str = "", **headers: str) -> tuple[int, Any]:
    ident = ident or site.json("/api/visits")[0]["id"]
    body = what if isinstance(what, str) else json.dumps(what)
    status, answer, _ = site.get(f"/api/visits/{ident}/mark", "POST", body, **{**JSON, **headers})
    try:
        return status, json.loads(answer)
    except ValueError:
        return status, answer


def store(site: Site) -> Path:
    folder = site.camera.config.store.folder
    assert folder is not None
    return folder


def test_a_visit_is_marked_and_the_mark_taken_back(site: Site) -> None:
    (visit,) = site.json("/api/visits")
    assert visit["mark"] is None
    assert site.json("/api/status")["labels"] == ["bee", "hornet"]
    for given, meant in (
        ({"verdict": "false"}, None),
        ({"verdict": "right"}, "hornet"),
        ({"verdict": "other", "label": "bee"}, "bee"),
    ):
        code, answer = say(site, given)
        assert code == 200
        assert (answer["mark"]["verdict"], answer["mark"]["meant"]) == (given["verdict"], meant)
        assert site.json("/api/visits")[0]["mark"] == answer["mark"]
    (mark,) = read_marks(store(site))
    assert mark.picture is not None
    assert {one.label for one in mark.objects} <= {"hornet"}
    assert say(site, {"verdict": None}) == (200, {"mark": None})
    assert site.json("/api/visits")[0]["mark"] is None
    assert read_marks(store(site)) == ()


def test_the_plain_picture_has_nothing_drawn_on_it(site: Site) -> None:
    (visit,) = site.json("/api/visits")
    assert visit["plain"]["objects"][0]["label"] == "hornet"
    drawn, plain = (read_picture(store(site) / visit[kind]["path"]) for kind in ("snapshot", "plain"))
    assert drawn.shape == plain.shape
    # the test's insect is grey on grey: colours are what was drawn
    coloured = [int((frame.max(axis=2).astype(int) - frame.min(axis=2) > 60).sum()) for frame in (drawn, plain)]
    assert coloured[0] > 50
    assert coloured[1] == 0


@pytest.mark.parametrize(
    ("what", "status"),
    [
        ({"verdict": "perhaps"}, 400),
        ({"verdict": "other"}, 400),
        ({"verdict": "other", "label": ["bee"]}, 400),
        ({"verdict": "other", "label": "x" * 300}, 400),
        ([], 400),
        ("{", 400),
        ("[" * 2000, 400),
        (json.dumps({"verdict": "x" * 5000}), 413),
    ],
)
def test_what_says_nothing_is_refused(site: Site, what: Any, status: int) -> None:
    code, answer = say(site, what)
    assert code == status
    assert answer["error"]
    assert read_marks(store(site)) == ()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Origin": "https://example.org"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "example.org"}, 421),
    ],
)
def test_another_page_says_nothing(site: Site, headers: dict[str, str], status: int) -> None:
    assert say(site, {"verdict": "false"}, **headers)[0] == status
    assert read_marks(store(site)) == ()


def test_behind_a_proxy_the_host_it_names_is_the_pages(site: Site) -> None:
    ident = site.json("/api/visits")[0]["id"]
    there = {"Origin": "https://hive.example.org", "X-Forwarded-Host": "hive.example.org"}
    assert say(site, {"verdict": "right"}, ident, **there)[0] == 200
    assert say(site, {"verdict": None}, ident, **{**there, "X-Forwarded-Host": "example.org"})[0] == 403
    assert say(site, {"verdict": None}, ident)[0] == 200


@pytest.mark.parametrize("ident", ["x", "00000000-0000-7000-8000-000000000000", "..%2f..%2fetc", "a" * 36])
def test_no_such_visit(site: Site, ident: str) -> None:
    assert say(site, {"verdict": "false"}, ident)[0] == 404


def test_reading_marks_nothing(site: Site) -> None:
    (visit,) = site.json("/api/visits")
    assert site.get(f"/api/visits/{visit['id']}/mark")[0] == 405


def test_what_cannot_be_kept_is_said(site: Site) -> None:
    folder = store(site) / "marks"
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    folder.write_text("in the way")
    try:
        code, answer = say(site, {"verdict": "false"})
    finally:
        folder.unlink()
    assert code == 507
    assert "cannot be made" in answer["error"]


def test_without_a_token_nobody_marks(tmp_path: Path) -> None:
    guarded = Site(tmp_path, token=True)
    try:
        code, _ = say(guarded, {"verdict": "false"}, "00000000-0000-7000-8000-000000000000")
    finally:
        guarded.close()
    assert code == 401
