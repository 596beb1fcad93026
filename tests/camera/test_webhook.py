"""A webhook gets each event signed; what it answers decides whether it is asked again."""

import hmac
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from edgekit.camera.deliver.base import Setup
from edgekit.camera.deliver.queued.queued import AnsweredError, RefusedError
from edgekit.camera.deliver.webhook import Webhook, WebhookKeys
from edgekit.errors import UsageError
from tests.camera.conftest import config_of

SECRET = "a secret of nineteen"
EVENT = {"id": "0190", "seq": 7, "type": "start", "label": "Hörnchen"}


class Server:
    """Answers each POST with a status, after `before` was called with the handler."""

    def __init__(self, status: int = 200, before: Callable[[Any], None] = lambda _: None) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server.got.append((dict(self.headers), body))
                before(self)
                self.send_response(status)
                self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook?who=me"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    made: list[Server] = []

    def make(*arguments: Any) -> Server:
        made.append(Server(*arguments))
        return made[-1]

    yield make
    for server in made:
        server.close()


def hook(url: str, **keys: Any) -> Webhook:
    return Webhook(Setup(config_of(), False, lambda: 10.0), WebhookKeys(url=url, **keys))


def test_an_event_is_posted_and_signed(serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(204)
    monkeypatch.setenv("HOOK_SECRET", SECRET)
    hook(server.url, secret="${HOOK_SECRET}").send(EVENT)
    ((headers, body),) = server.got
    assert json.loads(body) == EVENT
    assert (headers["X-Edgekit-Id"], headers["X-Edgekit-Seq"]) == ("0190", "7")
    stamp = headers["X-Edgekit-Timestamp"]
    assert abs(int(stamp) - time.time()) < 60
    expected = hmac.new(SECRET.encode(), stamp.encode() + b"." + body, "sha256").hexdigest()
    assert headers["X-Edgekit-Signature"] == f"sha256={expected}"
    hook(server.url).send(EVENT)
    assert "X-Edgekit-Signature" not in server.got[1][0]


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, RefusedError), (401, RefusedError), (404, RefusedError), (410, RefusedError), (413, RefusedError),
     (408, AnsweredError), (425, AnsweredError), (429, AnsweredError), (500, AnsweredError), (503, AnsweredError),
     (301, AnsweredError), (302, AnsweredError), (307, AnsweredError)],
)  # fmt: skip
def test_what_the_answer_means(status: int, error: type[Exception], serve: Callable[..., Server]) -> None:
    server = serve(status)
    with pytest.raises(error, match=str(status)):
        hook(server.url).send(EVENT)
    assert len(server.got) == 1  # no redirect was followed


@pytest.mark.parametrize("what", ["silence", "drip"])
def test_a_server_that_does_not_come_to_an_end_is_left(what: str, serve: Callable[..., Server]) -> None:
    def slow(handler: Any) -> None:
        for _ in range(100):
            if what == "drip":
                handler.wfile.write(b"H")
            time.sleep(0.05)

    server = serve(200, slow)
    begun = time.monotonic()
    with pytest.raises(Exception, match=r"."):
        hook(server.url, timeout=0.3).send(EVENT)
    assert time.monotonic() - begun < 3


def test_nobody_there_is_tried_again() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(OSError, match=r"."):
        hook(f"http://127.0.0.1:{port}/").send(EVENT)


@pytest.mark.parametrize("keys", [
    {"url": "ftp://h/x"}, {"url": "h/x"}, {"url": "https://"}, {"url": "https://h:port/"},
    {"url": "https://keeper:swordfish@h/"}, {"url": "https://h/", "secret": "swordfish"},
])  # fmt: skip
def test_what_cannot_be_posted_to_is_refused_and_not_repeated(keys: dict[str, str]) -> None:
    with pytest.raises(UsageError) as error:
        hook(**keys)
    assert "swordfish" not in str(error.value)


def test_neither_secret_nor_path_is_told() -> None:
    made = hook("https://h/a-path-that-is-a-token?key=0123", secret=SECRET)
    told = made._told(OSError(f"no a-path-that-is-a-token with {SECRET} key=0123"))
    assert told == "no *** with *** ***"
