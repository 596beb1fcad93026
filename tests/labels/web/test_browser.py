"""The page as somebody uses it, in Chromium: mouse, keys alone, fingers, and a server that is killed meanwhile."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import Browser, find_chromium
from tests.labels.folders import pictures

pytest.importorskip("uvicorn")
pytest.importorskip("starlette")
pytestmark = pytest.mark.slow

NAMED = {"Enter": 13, "Delete": 46, "ArrowRight": 39, "ArrowDown": 40, "Tab": 9}
SHIFT = 8


class Server:
    """`edgekit label` in a process of its own, which can be killed and started again at the same address."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, 0
        self.start()

    def start(self) -> None:
        words = ["label", str(self.folder), "--classes", "bee,hornet", "--port", str(self.port)]
        command, paths = [sys.executable, "-m", "edgekit", *words], {"PYTHONPATH": str(Path(__file__).parents[3])}
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **paths})
        assert self.process.stderr is not None
        found = next(filter(None, (re.search(r"http://[\d.]+:(\d+)/", line) for line in self.process.stderr)))
        self.port, self.url = int(found[1]), found[0]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(20)
        assert self.process.stderr is not None
        self.process.stderr.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    find_chromium()
    server = Server(pictures(tmp_path / "hive", "a.png", "b.png", "<b onclick=x()>c.png"))
    yield server
    server.kill()


class Hand(Browser):
    """Somebody at the page."""

    def drag(self, *points: tuple[float, float]) -> None:
        """Between points of the picture, in its pixels."""
        for i, point in enumerate(points):
            x, y = self.at(point)
            kind = "mousePressed" if i == 0 else "mouseMoved"
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)
        self.ask("Input.dispatchMouseEvent", type="mouseReleased", x=x, y=y, button="left", clickCount=1)
        self.saved()

    def at(self, point: tuple[float, float]) -> tuple[float, float]:
        found = self.value(
            f"(p => [p.x, p.y])(new DOMPoint({point[0]}, {point[1]})"
            ".matrixTransform(document.getElementById('stage').getScreenCTM()))"
        )
        return found[0], found[1]

    def press(self, key: str, held: int = 0) -> None:
        code = {"key": key, "windowsVirtualKeyCode": NAMED.get(key, ord(key[0].upper())), "modifiers": held}
        text = {"text": "\r" if key == "Enter" else key} if key == "Enter" or len(key) == 1 else {}
        self.ask("Input.dispatchKeyEvent", type="keyDown", **code, **text)
        self.ask("Input.dispatchKeyEvent", type="keyUp", **code)

    def saved(self) -> None:
        self.wait_for("document.getElementById('state').textContent === 'saved'")

    def shows(self, name: str) -> None:
        shown = "document.getElementById('name').textContent"
        self.wait_for(f"{shown} === {name!r} && document.querySelector('#stage image').hasAttribute('href')")
        self.saved()

    def known(self) -> dict[str, Any]:
        """The picture that is open, as the server has it."""
        self.saved()
        found: dict[str, Any] = self.value("fetch('/api/pictures/' + location.hash.slice(1)).then(a => a.json())")
        return found

    def boxes(self) -> list[tuple[int, list[int]]]:
        return [(mark["label"], [round(v) for v in mark["box"]]) for mark in self.known()["labels"]["marks"]]


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
