"""Silent connections, half requests, readers that stop, guessers: who asks properly is answered all the same."""

import asyncio
import errno
import http.client
import io
import logging
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgekit.serving.connections import ConnectionLimit
from edgekit.serving.throttle import ADDRESSES, AT_ONCE, FORGIVEN, LONGEST, TokenThrottle, network_of
from tests.camera.conftest import wait_for
from tests.camera.test_web import TOKEN, Site

pytest.importorskip("uvicorn")
from edgekit.serving import connections

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def site(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    site = Site(tmp_path / "store", *getattr(request, "param", ()))
    wait_for(lambda: site.get("/readyz")[0] == 200, 10)
    yield site
    site.close()


@pytest.fixture
def hasty(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page waits for less; whole requests are made before."""
    monkeypatch.setattr(connections, "REQUEST", 0.3)


@pytest.fixture
def links() -> Iterator[Any]:
    """Opens connections to a site, which are closed at the end."""
    made: list[socket.socket] = []

    def connect(site: Site, data: bytes = b"", buffer: int = 0) -> socket.socket:
        link = socket.socket()
        made.append(link)
        if buffer:
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        link.settimeout(60)
        link.connect(("127.0.0.1", site.page.port))
        link.sendall(data)
        return link

    yield connect
    for link in made:
        link.close()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def is_over(link: socket.socket) -> bool:
    """Waits until the other side ends a connection, which may have said something first."""
    try:
        while link.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return True


# --- connections ---


def test_silent_connections_lock_nobody_out(site: Site, links: Any) -> None:
    before = descriptors()
    silent = [links(site) for _ in range(400)]
    for path in ("/livez", "/readyz", "/api/status", "/"):
        assert site.get(path)[0] == 200
    held = descriptors() - before - len(silent)
    assert held < connections.CONNECTIONS + 2 * connections.ACCEPTED  # the page's side of them
    assert site.camera.lookout.health.alive()[0]


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"GET /livez HT",
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\n",
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\ntoken=",
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\nGET",  # a whole one, then half of the next
        b"POST /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n",  # 405, and the body never comes
    ],
)
@pytest.mark.usefixtures("hasty")
def test_half_a_request_is_given_up(site: Site, links: Any, said: bytes) -> None:
    assert is_over(links(site, said))


@pytest.mark.usefixtures("hasty")
def test_a_byte_now_and_then_is_no_request(site: Site, links: Any) -> None:
    link = links(site)
    over = threading.Event()

    def drip() -> None:
        while not over.wait(0.05):
            try:
                link.send(b"G")
            except OSError:
                return

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        assert is_over(link)
    finally:
        over.set()
        thread.join()


class _Someone:
    def __init__(self, waiting: bool = True) -> None:
        self.waiting = waiting


def test_who_has_waited_longest_gives_way_of_the_address_that_holds_most() -> None:
    limit = ConnectionLimit(4)
    owner, *crowd = [_Someone() for _ in range(5)]
    assert limit.enter(owner, "10.0.0.1") is None
    for one in crowd[:3]:
        assert limit.enter(one, "10.0.0.9") is None
    assert limit.enter(crowd[3], "10.0.0.9") is crowd[0]
    another = _Someone()
    assert limit.enter(another, "10.0.0.2") is crowd[1]
    limit.leave(another)
    limit.leave(another)
    assert len(limit) == 3


def test_who_is_being_answered_keeps_the_place() -> None:
    limit = ConnectionLimit(2)
    busy = [_Someone(waiting=False) for _ in range(2)]
    for one in busy:
        assert limit.enter(one, "10.0.0.9") is None
    newcomer = _Someone()
    assert limit.enter(newcomer, "10.0.0.1") is newcomer
    assert len(limit) == 2


# --- viewers ---


@pytest.mark.parametrize("site", [("web.viewers=4", "web.live_fps=60")], indirect=True)
def test_viewers_that_stop_reading_free_their_places(site: Site, links: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "STUCK", 2.0)  # a busy machine lets four in meanwhile
    big = os.urandom(400_000)  # as if the pictures were large, so that buffers are soon full
    monkeypatch.setattr(site.camera.lookout.view, "newest", lambda after=0, timeout=0: (after + 1, big))
    for _ in range(4):
        links(site, b"GET /live.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n", buffer=4096).recv(100)
    assert site.page.streams.viewers == 4
    assert site.get("/live.mjpg")[0] == 503
    wait_for(lambda: site.page.streams.viewers == 0, 10)


@pytest.mark.parametrize("site", [("web.viewers=4",)], indirect=True)
def test_of_twenty_viewers_at_once_four_are_let_in(site: Site, links: Any) -> None:
    ready = [links(site, b"GET /live.mjpg HTTP/1.1\r\nHost: localhost\r\n") for _ in range(20)]
    for link in ready:
        link.sendall(b"\r\n")
    answers = [link.recv(12).split()[1] for link in ready]
    assert sorted(answers) == [b"200"] * 4 + [b"503"] * 16
    assert site.page.streams.viewers == 4


def test_asking_for_the_headers_of_the_live_picture_takes_no_place(site: Site) -> None:
    status, body, headers = site.get("/live.mjpg", "HEAD")
    assert (status, body) == (200, b"")
    assert headers["content-type"].startswith("multipart/x-mixed-replace")
    assert site.page.streams.viewers == 0


# --- what every answer says ---


def told(site: Site, path: str, method: str = "GET", body: str | None = None, **headers: str) -> tuple[int, Any]:
    """Status and headers of an answer whose body may have no end."""
    link = http.client.HTTPConnection("127.0.0.1", site.page.port, timeout=60)
    try:
        link.request(method, path, body, headers)
        answer = link.getresponse()
        return answer.status, answer.headers
    finally:
        link.close()


def check_headers(headers: Any, kept: str = "no-store") -> None:
    policy = headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "'unsafe-inline'" not in policy
    assert headers["x-frame-options"] == "DENY"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == kept
    assert len(headers.get_all("cache-control")) == len(headers.get_all("content-security-policy")) == 1


def test_security_headers_are_on_every_answer(site: Site, links: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    wait_for(lambda: bool(site.json("/api/visits")), 5)
    (visit,) = site.json("/api/visits")
    for path, method, status in (
        ("/", "GET", 200), ("/api/status", "GET", 200), ("/api/visits", "GET", 200), ("/api/counts", "GET", 200),
        ("/metrics", "GET", 200), ("/livez", "GET", 200), ("/readyz", "GET", 200), ("/snapshot.jpg", "GET", 200),
        ("/live.mjpg", "GET", 200), (f"/visits/{visit['id']}.jpg", "GET", 200), ("/absent", "GET", 404),
        ("/visits/x.jpg", "GET", 404), ("/", "POST", 405),
    ):  # fmt: skip
        found, headers = told(site, path, method)
        assert found == status, path
        check_headers(headers, "no-cache" if (path, method) == ("/", "GET") else "no-store")
    found, headers = told(site, "/", Host="hive.evil.com")
    assert found == 421
    check_headers(headers)
    monkeypatch.setattr(site.page.reader, "visits", lambda *_: 1 / 0)
    found, headers = told(site, "/api/visits")
    assert found == 500
    check_headers(headers)
    answer = http.client.HTTPResponse(links(site, b"NONSENSE\r\n\r\n"))
    answer.begin()
    assert answer.status == 400
    check_headers(answer.headers)


def test_security_headers_are_on_refusals(tmp_path: Path) -> None:
    site = Site(tmp_path, token=True)
    try:
        for path, method, body, status in (
            ("/", "GET", None, 401), (f"/?token={TOKEN}", "GET", None, 303), ("/login", "POST", "x" * 9000, 413),
            ("/login", "POST", "token=wrong", 401),
        ):  # fmt: skip
            found, headers = told(site, path, method, body, **FORM)
            assert found == status, path
            check_headers(headers)

        async def full(*_: object) -> None:
            return None

        site.page.auth._throttle.look = full  # type: ignore[method-assign]
        found, headers = told(site, "/", Authorization="Bearer guess")
        assert (found, headers["retry-after"]) == (429, str(round(LONGEST)))
        check_headers(headers)
    finally:
        site.close()


def test_an_address_with_line_breaks_becomes_no_header(tmp_path: Path) -> None:
    site = Site(tmp_path, token=True)
    try:
        status, _, headers = site.get(f"/x%0d%0aSet-Cookie:%20a=b?token={TOKEN}")
        assert (status, headers["location"]) == (303, "./x%0D%0ASet-Cookie%3A%20a%3Db")
    finally:
        site.close()


# --- guessing ---


class Waits:
    """Time that passes by itself while somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waited: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    def attempts(self) -> TokenThrottle:
        return TokenThrottle(self.sleep, lambda: self.now)


def test_each_wrong_token_of_an_address_costs_more_and_nobody_else_anything() -> None:
    waits = Waits()
    attempts = waits.attempts()

    async def run() -> None:
        for _ in range(8):
            assert await attempts.look("10.0.0.9", lambda: False) is False
        assert waits.waited == [0.5, 1, 2, 4, 4, 4, 4]
        assert await attempts.look("10.0.0.1", lambda: True) is True  # the owner
        assert len(waits.waited) == 7
        assert await attempts.look("10.0.0.9", lambda: True) is True  # or one who shares the guesser's address
        assert waits.waited[-1] == LONGEST
        waits.now += FORGIVEN + 1
        assert await attempts.look("10.0.0.9", lambda: False) is False
        assert len(waits.waited) == 8

    asyncio.run(run())


def test_many_guesses_at_once_are_not_looked_at() -> None:
    attempts = Waits().attempts()
    looked = 0

    def guess() -> bool:
        nonlocal looked
        looked += 1
        return False

    async def run() -> list[bool | None]:
        await attempts.look("10.0.0.9", guess)
        return await asyncio.gather(*(attempts.look("10.0.0.9", guess) for _ in range(100)))

    found = asyncio.run(run())
    assert looked == 1 + AT_ONCE
    assert found.count(None) == 100 - AT_ONCE


def test_guesses_from_everywhere_need_no_more_memory() -> None:
    attempts = Waits().attempts()

    async def run() -> None:
        for i in range(3 * ADDRESSES):
            await attempts.look(f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}", lambda: False)
        for i in range(99):  # one machine's many addresses are one
            await attempts.look(f"2001:db8::{i:x}", lambda: False)

    asyncio.run(run())
    assert len(attempts) == ADDRESSES
    assert network_of("::ffff:10.0.0.1") == "10.0.0.1"
    assert network_of("fe80::1%eth0") == network_of("fe80::2") == "fe80::/64"


def test_who_has_the_cookie_is_not_kept_waiting_by_guesses_from_the_same_address(tmp_path: Path) -> None:
    site = Site(tmp_path, token=True)
    try:
        cookie = site.get(f"/?token={TOKEN}")[2]["set-cookie"].split(";")[0]
        waits = Waits()
        site.page.auth._throttle = waits.attempts()
        for _ in range(5):
            assert site.get("/", Authorization="Bearer a-guess-of-letters")[0] == 401
        assert len(waits.waited) == 4
        assert site.get("/api/status", Cookie=cookie)[0] == 200
        assert site.get("/api/status", Cookie="edgekit-camera=guess")[0] == 401
        assert len(waits.waited) == 4
        assert site.get("/api/status", Authorization=f"Bearer {TOKEN}")[0] == 200
        assert len(waits.waited) == 5
    finally:
        site.close()


# --- without descriptors ---


def test_the_page_says_once_that_it_cannot_accept_and_goes_on(site: Site) -> None:
    loop = asyncio.new_event_loop()
    lines: list[str] = []
    site.page._thread._say = lines.append
    try:
        for _ in range(3):
            site.page._thread._unhandled(loop, {"exception": OSError(errno.EMFILE, os.strerror(errno.EMFILE))})
    finally:
        loop.close()
    assert lines == ["error: the page takes no connections now: Too many open files"]


def test_making_the_server_closes_nobodys_log() -> None:
    """absl's handler closes its stream with itself, which was this process's stdout."""

    class Handler(logging.StreamHandler[io.StringIO]):
        def close(self) -> None:
            self.stream.close()
            super().close()

    handler = Handler(io.StringIO())
    logging.getLogger("somebody else's").addHandler(handler)
    try:
        connections.make_server(None, {})
        assert not handler.stream.closed
    finally:
        logging.getLogger("somebody else's").removeHandler(handler)
