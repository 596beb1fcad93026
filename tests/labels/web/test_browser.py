"""The page as somebody uses it, in Chromium: mouse, keys alone, fingers, and a server that is killed meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit.labels.assistant import Help
from edgekit.labels.proposals.base import Proposal
from tests.browser import find_chromium
from tests.labels.folders import pictures
from tests.labels.web.hand import SHIFT, Hand, Server
from tests.labels.web.site import Site

pytest.importorskip("uvicorn")
pytest.importorskip("starlette")
pytestmark = pytest.mark.slow


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    find_chromium()
    server = Server(pictures(tmp_path / "hive", "a.png", "b.png", "<b onclick=x()>c.png"))
    yield server
    server.kill()


def test_a_picture_is_labelled_and_the_server_killed_between_two_keys(server: Server, tmp_path: Path) -> None:
    with Hand(tmp_path / "profile") as hand:
        hand.open(server.url)
        hand.shows("<b onclick=x()>c.png")
        assert hand.value("document.querySelectorAll('#name b, #queue b').length") == 0
        hand.press(".")
        hand.shows("a.png")
        hand.drag((10, 5), (20, 12), (30, 25))
        assert hand.boxes() == [(0, [10, 5, 30, 25])]
        hand.drag((20, 15), (22, 16), (25, 18))  # in its middle: it moves
        hand.drag((35, 28), (38, 30), (45, 35))  # a corner
        assert hand.boxes() == [(0, [15, 8, 45, 35])]
        hand.press("2")
        assert hand.boxes() == [(1, [15, 8, 45, 35])]
        hand.press("ArrowRight")
        hand.press("ArrowDown", SHIFT)
        assert hand.boxes() == [(1, [16, 8, 46, 36])]
        for _ in range(3):
            hand.press("u")
        hand.wait_for("!document.getElementById('redo').disabled")
        assert hand.boxes() == [(0, [15, 8, 45, 35])]
        hand.press("r")
        assert hand.boxes() == [(1, [15, 8, 45, 35])]
        server.kill()
        hand.press("ArrowRight")
        hand.wait_for("document.getElementById('state').textContent.includes('not saved yet')")
        server.start()
        assert hand.boxes() == [(1, [16, 8, 46, 35])]
        server.kill()
        server.start()
        hand.open(server.url + hand.value("location.hash"))
        hand.shows("a.png")
        assert hand.boxes() == [(1, [16, 8, 46, 35])]
        hand.press("Enter")
        hand.shows("b.png")
        assert (server.folder / "edgekit-labelled.txt").read_text() == "./a.png\n"
        hand.press("u")  # what was done last is a picture back
        hand.shows("a.png")
        hand.wait_for("document.getElementById('progress').textContent.startsWith('0 of')")
        assert (server.folder / "edgekit-labelled.txt").read_text() == ""


def test_with_keys_alone(server: Server, tmp_path: Path) -> None:
    with Hand(tmp_path / "profile") as hand:
        hand.open(server.url)
        hand.shows("<b onclick=x()>c.png")
        hand.press("n")
        hand.press("n")
        assert len(hand.boxes()) == 2
        hand.press("Tab")  # behind the last box: on to the buttons
        hand.wait_for("document.activeElement.id === 'previous'")
        hand.press("Tab", SHIFT)
        hand.wait_for("document.activeElement.id === 'stage'")
        hand.press("Tab")
        hand.press("2")
        assert [label for label, _ in hand.boxes()] == [1, 0]
        hand.press("Delete")
        assert [label for label, _ in hand.boxes()] == [0]
        hand.press("c")
        hand.wait_for("document.activeElement.id === 'class-name'")
        hand.ask("Input.insertText", text="wasp")
        hand.press("Enter")
        hand.wait_for("document.querySelectorAll('#classes li').length === 3 && document.activeElement.id === 'stage'")
        hand.press("Enter")
        hand.shows("a.png")
        hand.press("?")
        hand.wait_for("document.getElementById('help').open")


def test_proposals_are_answered_with_keys(tmp_path: Path) -> None:
    find_chromium()
    bee, hornet = Proposal((5, 5, 15, 15), "bee", 0.9), Proposal((30, 10, 50, 30), "hornet", 0.8)
    known = {"a.png": (bee, hornet), "b.png": (bee, hornet), "c.png": ()}
    site = Site(pictures(tmp_path / "hive", *known), helped=Help(given=known, name="given"))
    offered = "document.querySelectorAll('#stage .proposal').length"
    try:
        with Hand(tmp_path / "profile") as hand:
            hand.open(site.page.url)
            hand.shows("a.png")
            hand.wait_for(f"{offered} === 2")
            hand.press("x")
            hand.wait_for(f"{offered} === 1")
            hand.press("a")
            hand.wait_for(f"{offered} === 0")
            assert hand.boxes() == [(1, [30, 10, 50, 30])]
            hand.press("Enter")
            hand.shows("b.png")
            hand.wait_for(f"{offered} === 2")
            hand.press("Enter", SHIFT)  # all of them, and on
            hand.shows("c.png")
            marks = site.get("/api/pictures/2")["labels"]
            assert marks["done"]
            assert [(mark["label"], mark["origin"]) for mark in marks["marks"]] == [(0, "proposal"), (1, "proposal")]
            hand.press("u")  # a picture back, and both at once
            hand.shows("b.png")
            hand.wait_for(f"{offered} === 2")
            assert hand.boxes() == []
    finally:
        site.close()


def test_what_lay_ready_and_was_changed_by_another_is_shown_as_it_is(tmp_path: Path) -> None:
    find_chromium()
    site = Site(pictures(tmp_path / "hive", "a.png", "b.png"))
    asked = "performance.getEntriesByType('resource').filter(e => e.name.endsWith('/api/pictures/2')).length"
    try:
        with Hand(tmp_path / "profile") as hand:
            hand.open(site.page.url)
            hand.shows("a.png")
            hand.wait_for(f"{asked} === 1")
            marks = [{"box": [5, 5, 15, 15], "label": 1, "origin": "hand"}]
            change = {"revision": 0, "labels": {"marks": marks, "done": False, "rejected": []}}
            assert site.ask("/api/pictures/2", "PUT", change)[0] == 200
            hand.press(".")
            hand.shows("b.png")
            hand.wait_for("document.querySelectorAll('#stage .box').length === 1")
            hand.press("n")
            assert [label for label, _ in hand.boxes()] == [1, 0]
    finally:
        site.close()


def test_on_a_phone(server: Server, tmp_path: Path) -> None:
    with Hand(tmp_path / "profile", (390, 844)) as hand:
        hand.ask("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=2, mobile=True)
        hand.ask("Emulation.setTouchEmulationEnabled", enabled=True)
        hand.open(server.url)
        hand.shows("<b onclick=x()>c.png")

        def touch(kind: str, *points: tuple[float, float]) -> None:
            fingers = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]
            hand.ask("Input.dispatchTouchEvent", type=kind, touchPoints=fingers)

        touch("touchStart", hand.at((10, 5)))
        for point in ((20, 10), (30, 25)):
            touch("touchMove", hand.at(point))
        touch("touchEnd")
        assert hand.boxes() == [(0, [10, 5, 30, 25])]
        wide = hand.value("document.getElementById('stage').viewBox.baseVal.width")
        touch("touchStart", hand.at((20, 15)), hand.at((40, 25)))
        touch("touchMove", hand.at((10, 10)), hand.at((50, 30)))
        touch("touchEnd")
        assert hand.value("document.getElementById('stage').viewBox.baseVal.width") < 0.7 * wide
        assert len(hand.boxes()) == 1
        assert hand.value("document.documentElement.scrollWidth") == 390
        small = "[...document.querySelectorAll('#tools button')].filter(b => b.getBoundingClientRect().height < 40)"
        assert hand.value(f"{small}.length") == 0
