"""The page in a browser, on a phone and on a desk: what a keeper reads when nothing, much or something bad happens."""

import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgekit.camera.config import SourceConfig, parse_config
from edgekit.camera.runtime import Camera
from edgekit.camera.watch.part import Part
from edgekit.errors import SourceError
from tests.browser import Browser
from tests.camera.conftest import ListGrabber, model_of, wait_for
from tests.camera.scenes import PaintedDetector, frames_of, season

pytest.importorskip("uvicorn")
from edgekit.camera.track.kept_zones import read_drawn
from edgekit.camera.web.server import Page
from tests.camera.test_siege import free_port
from tests.camera.test_web import TOKEN

pytestmark = pytest.mark.slow
SIZES = [(390, 844), (1280, 900)]
NAMES = ("old well", "lime tree", "behind the barn")


class Hive:
    """A camera before a painted hive, or several, with a season in the store.

    Args:
        hornets: that are there, in turn for each of several hives.
    """

    def __init__(self, folder: Path, hornets: int | tuple[int, ...], *changes: str) -> None:
        self.gone, self.store = False, folder
        several = hornets if isinstance(hornets, tuple) else ()
        self._scenes = [(n, 3 + i) for i, n in enumerate(several or (hornets,))]
        names = NAMES[: len(several)] or ("hive",)
        season(folder, names[0])
        text = "source.uri = 'rtsp://127.0.0.1:1/0'"
        if several:
            place = "[[cameras]]\nname = '{}'\nsource.uri = 'rtsp://127.0.0.1:1/{}'\n"
            text = "".join(place.format(name, i) for i, name in enumerate(names))
        config = parse_config(text, "a test", ["web.port=0", f"store.folder={folder}", *changes])
        model = model_of(PaintedDetector(*self._scenes))
        self.camera = Camera(config, model, opener=self._open, say=lambda _: None)
        self.update: dict[str, str] = {}
        self.page = Page(self.camera, updated=lambda: self.update)
        self._thread = threading.Thread(target=self.camera.run)
        self.page.start()
        self._thread.start()
        wait_for(lambda: all(one.health.inferred > 5 for one in self.camera.lookouts.values()), 20)

    def _open(self, _: object, source: SourceConfig) -> ListGrabber:
        if self.gone:
            raise SourceError("The camera is not there.")
        return ListGrabber(self._until(*self._scenes[int(source.uri[-1])]))

    def _until(self, hornets: int, seed: int) -> Iterator[Any]:
        for thing in frames_of(hornets, seed):
            if self.gone and seed == 3:
                raise SourceError("The stream broke off.")
            yield thing

    def close(self) -> None:
        self.camera.stop()
        self._thread.join(10)
        self.page.stop()


@pytest.fixture
def hive(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Hive]:
    folder = tmp_path / "store"
    folder.mkdir()
    hive = Hive(folder, *request.param)
    yield hive
    hive.close()


class Seen:
    """What is on the page that a browser shows."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser

    def text(self, element: str) -> str:
        return str(self.browser.value(f"document.querySelector('{element}').innerText"))

    def first_screen(self, element: str) -> bool:
        """Whether all of it is seen before anybody scrolls."""
        box = f"document.querySelector('{element}').getBoundingClientRect()"
        return bool(self.browser.value(f"{box}.top >= 0 && {box}.bottom <= innerHeight"))

    def largest(self) -> str:
        """The id of what is written largest."""
        return str(
            self.browser.value("""[...document.body.querySelectorAll('*')].filter(e => e.offsetParent)
          .map(e => [parseFloat(getComputedStyle(e).fontSize), e.id]).sort((a, b) => b[0] - a[0])[0][1]""")
        )

    def fits(self) -> bool:
        return bool(self.browser.value("document.documentElement.scrollWidth <= innerWidth"))


@pytest.fixture
def seen(hive: Hive, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Seen]:
    with Browser(tmp_path / "profile", request.param) as browser:
        browser.open(hive.page.url)
        browser.wait_for("document.querySelectorAll('#list li').length > 0")
        browser.wait_for("document.querySelectorAll('#days .bar').length === 14")
        found = Seen(browser)
        assert found.largest() == "level"
        assert found.fits()
        assert found.first_screen("#now")
        yield found
        assert not browser.value("document.querySelector('#now').innerText.match(/undefined|NaN|null|Invalid/)")


@pytest.mark.parametrize(("hive", "seen"), [((0,), size) for size in SIZES], indirect=True)
def test_nothing_today(seen: Seen) -> None:
    seen.browser.wait_for("document.querySelector('#level').textContent === 'No hornets'")
    assert "None seen" in seen.text("#now")
    seen.browser.wait_for("document.querySelector('#today').textContent.startsWith('Today: none in')")
    assert not seen.text("#trouble")
    assert "hornet" in seen.text("#labels [aria-pressed=true]")


@pytest.mark.parametrize(("hive", "seen"), [((7,), size) for size in SIZES], indirect=True)
def test_seven_hornets_now(seen: Seen) -> None:
    seen.browser.wait_for("document.querySelector('#level').textContent === 'Risk'")
    assert "7 hornets at once" in seen.text("#now")
    assert "since" in seen.text("#since")
    seen.browser.wait_for(
        "document.querySelector('#today').textContent.startsWith('Today: at most 7 at once, 1 visit')"
    )
    assert "7 × hornet" in seen.text("#list li.open:first-child")
    # the insect is cut out: a fifth of the card or more, where it is a tenth of the picture
    seen.browser.wait_for("parseFloat(document.querySelector('#list li.open img').style.width) > 200")
    seen.browser.value("document.querySelector('#year').click()")
    seen.browser.wait_for("document.querySelectorAll('#days .bar').length > 20")
    assert "days watched" in seen.text("#summed")
    assert (
        seen.browser.value("[...document.querySelectorAll('#days .limit')].map(l => l.classList[1]).join()")
        == "risk,high"
    )


@pytest.mark.parametrize(("hive", "seen"), [((7,), size) for size in SIZES], indirect=True)
def test_the_camera_is_lost_and_then_the_box(hive: Hive, seen: Seen) -> None:
    hive.gone = True
    seen.browser.wait_for("document.querySelector('#level').textContent === 'Not watching'")
    told = seen.text("#now")
    assert "The camera is lost." in told
    assert "since" in told
    assert "Before that: risk, 7 hornets at once." in told
    seen.browser.wait_for("document.querySelector('#old').innerText.includes('old')")
    seen.browser.wait_for("document.querySelector('#picture').naturalWidth > 0")
    hive.page.stop()
    seen.browser.wait_for("document.querySelector('#level').textContent === 'No answer'")
    assert "The box cannot be reached." in seen.text("#now")
    assert not seen.browser.value("!!document.querySelector('#picture').getAttribute('src')")


@pytest.mark.parametrize(("hive", "seen"), [((2, "store.reserve_mb=100000000"), size) for size in SIZES], indirect=True)
def test_the_disk_is_full(seen: Seen) -> None:
    seen.browser.wait_for("!document.querySelector('#trouble').hidden")
    assert seen.text("#level") == "Present"
    assert "Hornets are still looked for" in seen.text("#trouble")
    assert "free" in seen.text("#trouble small")


@pytest.mark.parametrize(("hive", "seen"), [(((1, 7, 0),), size) for size in SIZES], indirect=True)
def test_several_hives(hive: Hive, seen: Seen) -> None:
    """The worst is shown until one is chosen; the choice stays in the address."""
    seen.browser.wait_for("document.querySelector('#level').textContent === 'Risk'")
    assert seen.text("#camera") == "lime tree"
    assert seen.text("#hives").split("\n") == [
        "old well", "Present: 1 hornet", "lime tree", "Risk: 7 hornets", "behind the barn", "No hornets",
    ]  # fmt: skip
    seen.browser.wait_for("document.querySelectorAll('#list li').length === 1")
    hive.gone = True
    seen.browser.wait_for("document.querySelector('#hives').innerText.includes('Not watching')")
    assert seen.text("#level") == "Risk"
    seen.browser.value("document.querySelector('#hives button').click()")
    seen.browser.wait_for("document.querySelector('#level').textContent === 'Not watching'")
    seen.browser.wait_for("document.querySelectorAll('#list li').length > 3")
    assert seen.browser.value("decodeURIComponent(location.hash)") == "#old well"
    assert seen.first_screen("#hives")
    assert "camera=old+well" in seen.browser.value("document.querySelector('#days-csv').href")


@pytest.mark.parametrize(("hive", "seen"), [((2,), size) for size in SIZES], indirect=True)
def test_zones_are_drawn(hive: Hive, seen: Seen) -> None:
    browser = seen.browser
    browser.wait_for("!document.querySelector('#draw').hidden")
    browser.value("document.querySelector('#live').scrollIntoView()")
    browser.value("document.querySelector('#draw').click()")
    browser.wait_for("!document.querySelector('#zones').hidden")
    left, top, wide, high = browser.value(
        "(r => [r.x, r.y, r.width, r.height])(document.querySelector('#drawing').getBoundingClientRect())"
    )
    for x, y in ((0.2, 0.3), (0.7, 0.25), (0.8, 0.7), (0.3, 0.8)):
        for kind in ("mousePressed", "mouseReleased"):
            browser.ask("Input.dispatchMouseEvent", type=kind, x=left + x * wide, y=top + y * high, button="left",
                        clickCount=1)  # fmt: skip
    assert browser.value("document.querySelectorAll('#drawing circle').length") == 4
    assert seen.fits()
    browser.value("document.querySelector('#keep').click()")
    browser.wait_for("document.querySelector('#zones').hidden && document.querySelector('#age').textContent !== ''")
    kept = read_drawn(hive.store, "hive")
    assert kept is not None
    assert [(zone.name, zone.use, len(zone.points)) for zone in kept] == [("zone 1", "watch", 4)]
    assert abs(kept[0].points[2][0] - 0.8) < 0.01
    assert hive.camera.lookout.config.zones == kept
    browser.value("document.querySelector('#draw').click()")
    browser.wait_for("!document.querySelector('#undrawn').hidden && document.querySelector('#undrawn').offsetWidth > 0")
    assert seen.fits()
    browser.value("document.querySelector('#undrawn').click()")
    browser.wait_for("document.querySelector('#age').textContent.includes('configuration')")
    assert read_drawn(hive.store, "hive") is None
    assert hive.camera.lookout.config.zones == ()


@pytest.mark.parametrize(("hive", "seen"), [((0,), size) for size in SIZES], indirect=True)
def test_what_was_started_again_and_what_came_of_a_new_model(hive: Hive, seen: Seen) -> None:
    stands = [9.0]
    told = "it has been at one call for 9 s"
    hive.camera.watch(Part("delivery mqtt", lambda: (stands[0], told), lambda: stands.append(stands.pop() * 0)))
    hive.update = {"outcome": "returned", "model": "hornets-2.onnx", "why": "its looks take 206 ms",
                   "at": "2026-08-01T10:00:00.000Z"}  # fmt: skip
    seen.browser.value("document.querySelector('#technical').open = true")
    seen.browser.wait_for("document.querySelector('#facts').innerText.includes('started again')")
    seen.browser.wait_for("document.querySelector('#facts').innerText.includes('new model')")
    facts = seen.text("#facts")
    assert re.search(r"started again\s+delivery mqtt, once, \d+\ss ago: it has been at one call for 9 s", facts), facts
    assert re.search(
        r"new model\s+hornets-2.onnx failed its trial, the one before it looks again, since .*206 ms", facts
    )
    assert not re.search(r"undefined|NaN|null|Invalid", facts)
    assert seen.fits()
    hive.update = {"outcome": "kept", "model": "hornets-3.onnx", "why": "", "at": "2026-08-01T10:00:00.000Z"}
    seen.browser.wait_for("document.querySelector('#facts').innerText.includes('hornets-3.onnx passed its trial')")
    seen.browser.wait_for("document.querySelector('#facts').innerText.includes('once; well for')")
    assert seen.text("#level") == "No hornets"


@pytest.fixture
def below(hive: Hive, tmp_path: Path) -> Iterator[str]:
    """The address of the page below a path of nginx, as docs/page.md has it."""
    program = shutil.which("nginx")
    if program is None:
        pytest.skip("needs nginx")
    text = (Path(__file__).parents[2] / "docs" / "page.md").read_text()
    (block,) = re.findall(r"```nginx\n(.*?)```", text, re.DOTALL)
    port = free_port()
    paths = "".join(f"{kind}_temp_path {tmp_path}/t;" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; master_process off; pid {tmp_path}/pid; error_log {tmp_path}/error.log; events {{}}\n"
        f"http {{ access_log off; {paths} server {{ listen 127.0.0.1:{port};\n"
        + block.replace("http://127.0.0.1:8080/", hive.page.url.replace("localhost", "127.0.0.1"))
        + "} }"
    )
    process = subprocess.Popen([program, "-c", str(tmp_path / "nginx.conf"), "-p", str(tmp_path)])
    try:
        wait_for(lambda: answers(port), 10)
        yield f"http://127.0.0.1:{port}/hive/"
    finally:
        process.terminate()
        process.wait(10)


def answers(port: int) -> bool:
    with socket.socket() as link:
        return link.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("hive", [(2, f"web.token={TOKEN}")], indirect=True)
def test_below_a_path_of_nginx(hive: Hive, below: str, tmp_path: Path) -> None:
    with Browser(tmp_path / "profile") as browser:
        browser.open(below)
        browser.value(f"document.querySelector('#token').value = '{TOKEN}'")
        browser.value("document.forms[0].submit()")
        browser.wait_for("document.querySelector('#level')?.textContent === 'Present'")
        assert browser.value("location.href") == below
        browser.wait_for("document.querySelector('#picture').naturalWidth > 0")
        browser.wait_for("document.querySelector('#list .crop img')?.naturalWidth > 0")
        browser.value("document.querySelector('#list .mark button').click()")
        browser.wait_for("document.querySelector('#list .mark').innerText.includes('Right')")
        loaded = browser.value("performance.getEntriesByType('resource').map(entry => entry.name)")
        assert all(name.startswith(below) for name in loaded)
        browser.open(f"{below}api/visits?limit=3&token={TOKEN}")
        assert browser.value("location.href") == f"{below}api/visits?limit=3"
