"""The page over real HTTP: what it answers, to whom, and that it tells the truth."""

import asyncio
import http.client
import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgekit.camera.deliver.live_view import LiveView
from edgekit.camera.runtime import Camera
from edgekit.camera.store.avi import read_avi
from edgekit.camera.web.token import check_web
from edgekit.errors import SourceError, UsageError
from edgekit.serving.throttle import TokenThrottle
from edgekit.serving.token_auth import is_loopback
from tests.browser import Browser
from tests.camera.conftest import ListGrabber, SpotDetector, config_of, model_of, spot, wait_for

pytest.importorskip("uvicorn")
pytest.importorskip("starlette")
pytest.importorskip("prometheus_client")
from edgekit.camera.web.parts import PARTS
from edgekit.camera.web.server import Page

TOKEN = "a-token-of-many-letters"


def moving() -> ListGrabber:
    def things() -> Any:
        i = 0
        while True:
            yield 0.05
            yield spot(20 + abs(i % 120 - 60) * 2, 60)
            i += 1

    return ListGrabber(things())


class Site:
    """A running camera with its page."""

    def __init__(self, folder: Path, *changes: str, token: bool = False, listeners: tuple[Any, ...] = ()) -> None:
        self.gone = False
        config = config_of(
            "source.uri=rtsp://viewer:pa55word@127.0.0.1:1/x?pwd=secret", "web.port=0", f"store.folder={folder}",
            "visits.end_after=0.5", *([f"web.token={TOKEN}"] if token else []), *changes,
        )  # fmt: skip
        self.said: list[str] = []
        self.camera = Camera(
            config, model_of(SpotDetector()), opener=self._open, say=self.said.append, listeners=listeners
        )
        self.page = Page(self.camera)
        self._thread = threading.Thread(target=self.camera.run)
        self.page.start()
        self._thread.start()

    def _open(self, *_: object) -> ListGrabber:
        if self.gone:
            raise SourceError("The camera is not there.")
        return ListGrabber(self._until(moving()._things))

    def _until(self, things: Any) -> Any:
        for thing in things:
            if self.gone:
                raise SourceError("The stream broke off.")
            yield thing

    def get(self, path: str, method: str = "GET", body: str | None = None, **headers: str) -> tuple[int, bytes, Any]:
        link = http.client.HTTPConnection("127.0.0.1", self.page.port, timeout=60)
        try:
            link.request(method, path, body, headers)
            answer = link.getresponse()
            return answer.status, answer.read(), answer.headers
        finally:
            link.close()

    def json(self, path: str) -> Any:
        status, body, _ = self.get(path)
        assert status == 200, body
        return json.loads(body)

    def close(self) -> None:
        self.camera.stop()
        self._thread.join(10)
        self.page.stop()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"))
    wait_for(lambda: site.camera.lookout.health.inferred > 5, 10)
    yield site
    site.close()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("guarded"), token=True)
    site.page.auth._throttle = TokenThrottle(sleep=lambda _: asyncio.sleep(0))  # its waits: test_connections.py
    wait_for(lambda: site.camera.lookout.health.inferred > 5, 10)
    yield site
    site.close()


@pytest.mark.parametrize("name", ["", *PARTS])
def test_the_page_is_its_own_files_with_nothing_from_elsewhere(site: Site, name: str) -> None:
    status, body, headers = site.get(f"/{name}")
    assert status == 200
    text = body.decode()
    assert not [u for u in re.findall(r"https?://[^\s'\"`)]+", text) if "w3.org" not in u]
    assert not re.findall(r"""<style|style=|<script>|\son\w+=|innerHTML|[("'`]/(?:api|visits|live)""", text)
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert (policy["script-src"], policy["frame-ancestors"]) == ("'self'", "'none'")
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert len(text.splitlines()) <= 300


def test_a_file_of_the_page_is_sent_once_and_answers_are_not_kept(site: Site) -> None:
    _, _, headers = site.get("/page.css")
    assert headers["cache-control"] == "no-cache"
    assert site.get("/page.css", **{"If-None-Match": headers["etag"]})[:2] == (304, b"")
    for path in ("/api/status", "/snapshot.jpg", "/absent", "/livez"):
        assert site.get(path)[2].get_all("cache-control") == ["no-store"]


def test_a_picture_says_how_old_it_is_and_an_old_one_is_none(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    status, body, headers = site.get("/snapshot.jpg")
    assert (status, body[:2]) == (200, b"\xff\xd8")
    assert 0 <= float(headers["x-frame-age"]) < 10
    with monkeypatch.context() as later:
        later.setattr(LiveView, "age", property(lambda _: 60.0))
        assert site.get("/snapshot.jpg?old=yes")[0] == 200
        status, body, headers = site.get("/snapshot.jpg")
    assert (status, body.split()[:2]) == (503, [b"the", b"newest"])
    assert headers["x-frame-age"] == "60.000"


def test_it_works_below_a_proxys_path(site: Site, guarded: Site) -> None:
    """Where the proxy leaves the path as it was, it says its prefix; nobody gets past the token with that."""
    below = {"X-Forwarded-Prefix": "/hives/one"}
    assert site.get("/hives/one/api/status", **below)[0] == 200
    assert site.get("/hives/one/", **below)[1] == site.get("/")[1]
    assert site.get("/hives/one/api/status")[0] == 404
    for prefix in ("/hives", "hives/one", "/hives/one/../one", "/hives/%6fne", "//"):
        assert site.get("/hives/one/api/status", **{"X-Forwarded-Prefix": prefix})[0] == 404
    for path in ("/livez/api/status", "/login/api/status"):
        assert guarded.get(path, **{"X-Forwarded-Prefix": path.rpartition("/api")[0]})[0] == 401
    form = guarded.get("/hives/one/api/status", **below)[1]
    assert b'action="../login"' in form
    assert guarded.get("/", **below)[1].count(b'action="login"') == 1


def test_status_visits_and_pictures(site: Site) -> None:
    status = site.json("/api/status")
    assert status["ready"] is True
    assert status["source"]["state"] == "online"
    assert status["open"] == [{"label": "hornet", "count": 1}]
    wait_for(lambda: bool(site.json("/api/visits")), 5)
    (visit,) = site.json("/api/visits")
    code, picture, headers = site.get(f"/visits/{visit['id']}.jpg")
    assert code == 200
    assert picture[:2] == b"\xff\xd8"
    assert headers["content-type"] == "image/jpeg"
    assert site.json(f"/api/visits?before={visit['id']}") == []


def test_counts_of_the_days(site: Site) -> None:
    wait_for(lambda: bool(site.json("/api/counts?days=3")["labels"]), 10)
    counts = site.json("/api/counts?days=3")
    assert len(counts["days"]) == 3
    assert counts["labels"]["hornet"][-1] == {"most": 1, "level": "present"}
    assert counts["labels"]["bee"][-1] == {"most": 0, "level": None}
    assert counts["watched"][counts["days"][-1]] > 0
    assert sum(counts["today"]["labels"]["hornet"].values()) >= 1


def test_the_live_picture_moves(site: Site) -> None:
    link = http.client.HTTPConnection("127.0.0.1", site.page.port, timeout=10)
    link.request("GET", "/live.mjpg")
    answer = link.getresponse()
    assert answer.headers["content-type"].startswith("multipart/x-mixed-replace")
    data = b""
    while data.count(b"--frame") < 4:
        data += answer.read1(65536)
    link.close()
    pictures = [part.split(b"\r\n\r\n", 1)[1] for part in data.split(b"--frame\r\n")[1:4]]
    assert len({bytes(p) for p in pictures}) == 3
    wait_for(lambda: site.page.streams.viewers == 0, 5)


def test_a_clip_plays_in_the_page_and_is_a_file(tmp_path: Path) -> None:
    site = Site(tmp_path, "visits.clip=true", "visits.pre_roll=0.5", "visits.post_roll=0.1")
    try:
        wait_for(lambda: site.camera.lookout.health.inferred > 20, 10)
        site.gone = True
        wait_for(lambda: [v["type"] for v in site.json("/api/visits")] == ["end"], 10)
        site.gone = False  # its clip ends with a later frame
        ident = site.json("/api/visits")[0]["id"]
        wait_for(lambda: site.get(f"/visits/{ident}.avi")[0] == 200, 15)
        status, body, headers = site.get(f"/visits/{ident}.mjpg")
        assert status == 200
        assert headers["content-type"].startswith("multipart/x-mixed-replace; boundary=frame")
        _, pictures = read_avi(next((tmp_path / "clips").rglob(f"{ident}.avi")))
        sent = [part.split(b"\r\n\r\n", 1)[1][:-2] for part in body.split(b"--frame\r\n")[1:]]
        kept = list(pictures)
        assert len(kept) >= 5
        assert sent[: len(kept)] == kept
        wait_for(lambda: site.page.streams.viewers == 0, 5)
        for suffix in ("mp4", "webm"):
            status, body, headers = site.get(f"/visits/{ident}.{suffix}", Range="bytes=0-99")
            assert status == (206 if site.json("/api/status")["video"] == suffix else 503)
            assert (headers["content-type"], len(body)) == (f"video/{suffix}", 100) or status == 503
    finally:
        site.close()


def test_no_more_viewers_than_allowed(tmp_path: Path) -> None:
    site = Site(tmp_path, "web.viewers=1")
    try:
        link = http.client.HTTPConnection("127.0.0.1", site.page.port, timeout=10)
        link.request("GET", "/live.mjpg")
        link.getresponse().read1(10)
        assert site.get("/live.mjpg")[0] == 503
        link.close()
    finally:
        begun = time.monotonic()
        site.close()
        assert time.monotonic() - begun < 12  # the threads' own limits are 13


def test_metrics_are_prometheus_text(site: Site) -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    code, body, _ = site.get("/metrics")
    assert code == 200
    families = {f.name: f for f in parser.text_string_to_metric_families(body.decode())}
    frames = {s.labels["fate"]: s.value for s in families["edgekit_camera_frames"].samples}
    assert frames["captured"] - frames["processed"] - frames["dropped"] in (0, 1)
    assert families["edgekit_camera_ready"].samples[0].value == 1
    states = {s.labels["state"]: s.value for s in families["edgekit_camera_source_state"].samples}
    assert states["online"] == 1
    assert sum(states.values()) == 1


@pytest.mark.parametrize("path", ["/", "/api/status", "/api/visits", "/api/counts", "/metrics", "/livez", "/readyz"])
def test_no_password_on_any_page(site: Site, path: str) -> None:
    _, body, headers = site.get(path)
    for secret in ("pa55word", "viewer", "secret"):
        assert secret not in body.decode() + str(headers)
        assert not any(secret in line for line in site.said)


def test_a_page_of_this_machine_answers_to_its_own_name_only(site: Site) -> None:
    for host, status in (("localhost:80", 200), ("127.0.0.1", 200), ("[::1]:8080", 200), ("hive.evil.com", 421)):
        assert site.get("/livez", Host=host)[0] == status


@pytest.mark.parametrize(
    "path",
    ["/visits/x.jpg", "/visits/..%2f..%2fetc%2fpasswd", "/visits/" + "a" * 36 + ".jpg", "/visits/%00.jpg", "/absent"],
)
def test_what_is_not_there_is_not_there(site: Site, path: str) -> None:
    assert site.get(path)[0] == 404


def test_ready_and_alive_tell_the_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgekit.camera.source.feed.backoff.Backoff.next", lambda _: 0.05)
    site = Site(tmp_path)
    try:
        wait_for(lambda: site.get("/readyz")[0] == 200, 10)
        site.gone = True
        wait_for(lambda: site.get("/readyz")[0] == 503, 5)
        assert b"offline" in site.get("/readyz")[1]
        assert site.get("/livez")[:2] == (200, b"alive")
        assert b'edgekit_camera_ready{camera="hive"' in site.get("/metrics")[1]
        assert site.json("/api/status")["ready"] is False
        site.gone = False
        wait_for(lambda: site.get("/readyz")[0] == 200, 5)
        site.camera.lookout.health._beat -= 1000
        site.camera.lookout.health.beat = lambda: None  # type: ignore[method-assign] - the loop hangs
        assert site.get("/livez")[0] == 503
    finally:
        site.close()


def test_a_store_that_cannot_be_read_is_said_and_the_rest_goes_on(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site.page.reader, "folder", Path("/nowhere"))
    status, body, _ = site.get("/api/visits")
    assert (status, b"cannot be read" in body) == (503, True)
    assert site.get("/snapshot.jpg")[0] == 200


# --- who may see it ---


def test_a_wrong_token_is_refused_and_the_right_one_opens(guarded: Site) -> None:
    for path in ("/", "/api/status", "/live.mjpg", "/metrics", "/snapshot.jpg"):
        assert guarded.get(path)[0] == 401
    assert guarded.get("/?token=wrong-token-of-letters")[0] == 401
    assert guarded.get("/api/status", Authorization="Bearer wrong")[0] == 401
    assert guarded.get("/api/status", Cookie="edgekit-camera=guess")[0] == 401
    assert guarded.get("/api/status", Authorization=f"Bearer {TOKEN}")[0] == 200
    assert guarded.get("/readyz")[0] == 200


def test_a_token_in_the_address_becomes_a_cookie_and_leaves_the_address(guarded: Site) -> None:
    status, _, headers = guarded.get(f"/api/visits?limit=3&token={TOKEN}")
    assert status == 303
    assert headers["location"] == "./visits?limit=3"
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert TOKEN not in cookie
    assert guarded.get("/api/visits", Cookie=cookie.split(";")[0])[0] == 200
    assert guarded.get(f"//evil.com/?token={TOKEN}")[2]["location"] == "./"


def test_a_host_that_holds_a_path_opens_nothing(guarded: Site) -> None:
    """The address that a framework puts together from the Host header may have another path than the request."""
    for host in ("x/livez?", "localhost/readyz#", "x/login?"):
        assert guarded.get("/api/status", Host=host)[0] == 401


def test_the_form(guarded: Site) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    status, body, _ = guarded.get("/login", "POST", "token=wrong", **form)
    assert (status, b"not the token" in body) == (401, True)
    assert guarded.get("/login", "POST", f"token={TOKEN}", **form)[0] == 303
    assert guarded.get("/login", "POST", "x" * 9000, **form)[0] == 413


def test_a_page_for_others_needs_a_token() -> None:
    for host, own in (("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("10.0.0.1", False)):
        assert is_loopback(host) is own
    config = config_of("web.host=0.0.0.0").web
    with pytest.raises(UsageError, match="token") as caught:
        check_web(config)
    assert re.search(r'token = "[\w-]{32}"', str(caught.value.fix))
    assert check_web(config_of("web.host=0.0.0.0", f"web.token={TOKEN}").web) == TOKEN


def test_a_token_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    web = config_of("web.host=0.0.0.0", "web.token=${HIVE_PAGE_TOKEN}").web
    monkeypatch.setenv("HIVE_PAGE_TOKEN", "short")
    with pytest.raises(UsageError, match="token"):
        check_web(web)
    monkeypatch.setenv("HIVE_PAGE_TOKEN", TOKEN)
    assert check_web(web) == TOKEN


def test_a_taken_port_is_told_at_once(site: Site) -> None:
    config = config_of(f"web.port={site.page.port}")
    camera = Camera(config, model_of(SpotDetector()), opener=lambda *_: moving(), say=lambda _: None)
    with pytest.raises(UsageError, match="cannot listen"):
        Page(camera)


# mean column of the bright spot in an element's picture, and its brightest value; the picture that is shown now
SPOT = """(() => {
  const img = document.querySelector('%s'), canvas = document.createElement('canvas');
  if (!img || !img.naturalWidth) return null;
  canvas.width = img.naturalWidth; canvas.height = img.naturalHeight;
  const pen = canvas.getContext('2d'); pen.drawImage(img, 0, 0);
  const data = pen.getImageData(0, 0, canvas.width, canvas.height).data;
  let sum = 0, count = 0;
  for (let i = 0; i < data.length; i += 4) if (data[i] > 200) { sum += (i / 4) %% canvas.width; count++ }
  return count ? sum / count : null;
})()"""


def spots(browser: Browser, element: str, seconds: float = 10) -> set[float]:
    """Where the spot was seen in an element's picture, until it was seen in five places or time is over."""
    seen: set[float] = set()
    until = time.monotonic() + seconds
    while len(seen) < 5 and time.monotonic() < until:
        where = browser.value(SPOT % element)
        seen |= {where} if where is not None else set()
        time.sleep(0.05)
    return seen


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1280, 900), (390, 844)])
def test_in_a_browser(site: Site, size: tuple[int, int], tmp_path: Path) -> None:
    with Browser(tmp_path / "profile", size) as browser:
        browser.open(site.page.url)
        browser.wait_for("document.querySelector('#level').textContent === 'Present'")
        assert len(spots(browser, "#picture")) == 5  # the live picture moves
        browser.wait_for("document.querySelectorAll('.bar').length >= 14")
        browser.wait_for("document.querySelectorAll('#list li img').length >= 1")
        browser.wait_for("document.querySelector('#list li img').naturalWidth > 0")
        assert browser.value("document.documentElement.scrollWidth") <= size[0]
        loaded = browser.value("performance.getEntriesByType('resource').map(entry => entry.name)")
        assert loaded
        assert all(name.startswith(site.page.url) for name in loaded)


@pytest.mark.slow
def test_a_click_plays_the_clip_in_a_browser(tmp_path: Path) -> None:
    site = Site(tmp_path / "store", "visits.clip=true", "visits.pre_roll=0.5", "visits.post_roll=0.1")
    try:
        wait_for(lambda: site.camera.lookout.health.inferred > 60, 20)
        site.gone = True
        wait_for(lambda: [v["type"] for v in site.json("/api/visits")] == ["end"], 10)
        site.gone = False
        ident = site.json("/api/visits")[0]["id"]
        wait_for(lambda: site.get(f"/visits/{ident}.avi")[0] == 200, 15)
        card, clip = f'#list [data-visit="{ident}"]', '#large[open] img[src*=".mjpg"]'
        site.page.encoder._codec = ""  # as on a box that has none
        with Browser(tmp_path / "profile") as browser:
            browser.open(site.page.url)
            browser.wait_for(f"document.querySelector('{card} img')?.naturalWidth > 0")
            assert len(spots(browser, f"{card} img", 1)) == 1  # the snapshot
            browser.wait_for(f"[...document.querySelectorAll('{card} button')].at(-1)?.textContent.includes('clip')")
            browser.value(f"[...document.querySelectorAll('{card} button')].at(-1).click()")
            browser.wait_for(f"!!document.querySelector('{clip}')")
            assert len(spots(browser, clip)) == 5
        site.page.encoder._codec = None
        if not site.page.encoder.kind():
            return
        with Browser(tmp_path / "second") as browser:
            browser.open(site.page.url)
            browser.wait_for(f"[...document.querySelectorAll('{card} button')].at(-1)?.textContent.includes('clip')")
            browser.value(f"[...document.querySelectorAll('{card} button')].at(-1).click()")
            browser.wait_for("document.querySelector('#large video')?.videoWidth === 160")
            browser.wait_for("document.querySelector('#large video').currentTime > 0.3")
    finally:
        site.close()


@pytest.mark.slow
def test_a_wrong_token_shows_the_form_in_a_browser(guarded: Site, tmp_path: Path) -> None:
    with Browser(tmp_path / "profile") as browser:
        browser.open(f"{guarded.page.url}?token=not-the-token-at-all")
        assert browser.value("!!document.querySelector('#token') && !document.querySelector('#picture')")
        browser.open(f"{guarded.page.url}?token={TOKEN}")
        browser.wait_for("!!document.querySelector('#picture')")
        assert TOKEN not in browser.value("location.href")
