"""Somebody at the page in Chromium, and the server in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.browser import Browser

NAMED = {"Enter": 13, "Delete": 46, "ArrowRight": 39, "ArrowDown": 40, "Tab": 9}
SHIFT = 8


class Server:
    """`edgekit label` in a process of its own, which can be killed and started again at the same address."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder, self.options, self.port = folder, options, 0
        self.start()

    def start(self) -> None:
        words = ["label", str(self.folder), "--classes", "bee,hornet", "--port", str(self.port), *self.options]
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
