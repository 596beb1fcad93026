"""`edgekit label --sam` in Chromium: a click and a drawn box give the mask of what is there and the box around it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.browser import find_chromium
from tests.labels.proposals.alike import alike_pair
from tests.labels.web.hand import Hand, Server

pytest.importorskip("uvicorn")
pytest.importorskip("starlette")
pytestmark = pytest.mark.slow

MASK = "document.querySelector('#stage .mask')"


def beetles(folder: Path) -> Path:
    """A picture of 128 x 80, which the pair sees as it is, with two discs of other colours."""
    frame = np.full((80, 128, 3), (200, 210, 190), np.uint8)
    cv2.circle(frame, (40, 40), 12, (30, 40, 200), -1)
    cv2.circle(frame, (90, 40), 15, (20, 20, 20), -1)
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), frame)
    cv2.imwrite(str(folder / "b.png"), frame[:, ::-1])
    return folder


def held(hand: Hand, x: float, y: float) -> bool:
    """Whether the mask on the stage holds this pixel's middle."""
    return bool(hand.value(f"{MASK}.isPointInFill(new DOMPoint({x + 0.5}, {y + 0.5}))"))


@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)])
def test_a_click_gives_a_mask_and_its_box(tmp_path: Path, width: int, height: int) -> None:
    find_chromium()
    server = Server(beetles(tmp_path / "hive"), "--sam", *map(str, alike_pair(tmp_path)))
    try:
        with Hand(tmp_path / "profile", (width, height)) as hand:
            hand.open(server.url)
            hand.shows("a.png")
            hand.drag((44, 36))  # pressed and let go at one place: a click
            hand.wait_for(f"{MASK} !== null")
            assert hand.boxes() == [(0, [28, 28, 53, 53])]
            assert [held(hand, x, 40) for x in (26, 29, 51, 55)] == [False, True, True, False]
            assert [held(hand, x, 30) for x in (29, 40)] == [False, True], "a disc, not its box"
            hand.drag((70, 20), (90, 40), (110, 60))  # around the other disc, loosely: it gets tight
            hand.wait_for("document.querySelectorAll('#stage .mask').length === 2")
            assert hand.boxes() == [(0, [28, 28, 53, 53]), (0, [75, 25, 106, 56])]
            hand.press("ArrowRight")  # another box than the mask's
            hand.wait_for("document.querySelectorAll('#stage .mask').length === 1")
            hand.press("u")
            hand.wait_for("document.querySelectorAll('#stage .mask').length === 2")
            hand.press(".")
            hand.shows("b.png")
            assert hand.value(f"{MASK} === null")
    finally:
        server.kill()
