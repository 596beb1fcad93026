"""Still pictures over HTTP, streams by UDP and RTMP, and frames turned the right way up."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from edgekit.camera.source.feed.live import LiveFeed
from edgekit.camera.source.feed.make import make_feed
from edgekit.camera.source.http.still import StillGrabber
from edgekit.camera.source.open import open_grabber
from edgekit.camera.source.turn import turner
from edgekit.camera.source.uri import parse_source
from edgekit.errors import SourceError
from edgekit.vision.image import encode_picture
from tests.camera.conftest import numbered, source_of, wait_for


class StillCamera:
    """Answers with `picture`; `tag` is its ETag. Counts what it was asked."""

    def __init__(self) -> None:
        self.picture, self.tag, self.code = encode_picture(numbered(1), ".jpg"), "", 200
        self.length: int | None = None
        self.asked: list[str | None] = []
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                match = self.headers.get("If-None-Match")
                camera.asked.append(match)
                if camera.tag and match == camera.tag:
                    self.send_response(304)
                    self.end_headers()
                    return
                self.send_response(camera.code)
                if camera.tag:
                    self.send_header("ETag", camera.tag)
                self.send_header("Content-Type", "image/jpeg")
                self.send_header("Content-Length", str(camera.length or len(camera.picture)))
                self.end_headers()
                self.wfile.write(camera.picture)

            def log_message(self, *_: object) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.uri = f"http://127.0.0.1:{self.server.server_port}/shot.jpg"


@pytest.fixture
def still() -> Iterator[StillCamera]:
    camera = StillCamera()
    yield camera
    camera.server.shutdown()
    camera.server.server_close()


def opened(camera: StillCamera, **keys: Any) -> StillGrabber:
    config = source_of(camera.uri, **{"fps": 100, "read_timeout": 0.5, "frozen_after": 0.5, **keys})
    grabber = open_grabber(parse_source(config), config)
    assert isinstance(grabber, StillGrabber)
    return grabber


def test_equal_pictures_are_no_new_frames(still: StillCamera) -> None:
    grabber = opened(still)
    first = grabber.read()
    assert first is not None
    threading.Timer(0.1, setattr, (still, "picture", encode_picture(numbered(90), ".jpg"))).start()
    second = grabber.read()
    assert second is not None
    assert (first != second).any()
    assert len(still.asked) > 3  # the ones between were the same
    grabber.close()


def test_what_the_server_calls_unchanged_is_not_sent_again(still: StillCamera) -> None:
    still.tag = '"one"'
    grabber = opened(still)
    assert grabber.read() is not None
    with pytest.raises(SourceError, match="does not change") as caught:
        grabber.read()
    assert "source.fps" in str(caught.value.fix)
    assert still.asked[0] is None
    assert set(still.asked[1:]) == {'"one"'}


def test_a_picture_that_never_changes_is_asked_for_less_often(still: StillCamera, monkeypatch: Any) -> None:
    grabber = opened(still, fps=0)
    waits: list[float] = []
    monkeypatch.setattr(grabber._closed, "wait", lambda seconds: waits.append(seconds))
    assert grabber.read() is not None
    grabber._most = 0.2
    with pytest.raises(SourceError):
        grabber.read()
    assert waits[0] == pytest.approx(1, abs=0.3)
    assert max(waits) <= 5


def test_half_a_picture_costs_that_picture(still: StillCamera) -> None:
    grabber = opened(still)
    assert grabber.read() is not None
    whole = encode_picture(np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8), ".jpg")
    still.picture = whole[: len(whole) // 2]
    assert grabber.read() is None
    still.picture = whole
    assert grabber.read() is not None


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_other_formats_are_pictures_too(still: StillCamera, suffix: str) -> None:
    still.picture = encode_picture(numbered(5), suffix)
    frame = opened(still).read()
    assert frame is not None
    assert frame.shape == (48, 64, 3)


def test_a_refusal_is_lost_and_opened_again(still: StillCamera, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgekit.camera.source.feed.backoff.Backoff.next", lambda _: 0.02)
    feed = make_feed(source_of(still.uri, fps=50), say=lambda _: None)
    feed.start()
    assert feed.next(5) is not None
    still.code = 503
    wait_for(lambda: feed.state() == "offline")
    assert "503" in feed.detail
    still.code, still.picture = 200, encode_picture(numbered(60), ".jpg")
    assert feed.next(5) is not None
    feed.stop()


def test_a_camera_of_a_picture_a_minute_is_not_stalled_between_them(still: StillCamera) -> None:
    feed = make_feed(source_of(still.uri, fps=1 / 60), say=lambda _: None)
    assert isinstance(feed, LiveFeed)
    feed.start()
    assert feed.next(5) is not None
    feed._frame_at -= 100
    assert feed.state() == "online"
    feed._frame_at -= 200
    assert feed.state() == "stalled"
    begun = time.monotonic()
    feed.stop()
    assert time.monotonic() - begun < 2  # closing wakes the wait


# --- turned ---


@pytest.mark.parametrize(
    ("rotate", "flip", "corner"),
    [(0, "", (0, 0)), (90, "", (0, -1)), (180, "", (-1, -1)), (270, "", (-1, 0)), (0, "horizontal", (0, -1)),
     (0, "vertical", (-1, 0)), (90, "horizontal", (0, 0)), (90, "vertical", (-1, -1))],
)  # fmt: skip
def test_where_the_upper_left_corner_goes(rotate: int, flip: str, corner: tuple[int, int]) -> None:
    frame = np.zeros((4, 6, 3), np.uint8)
    frame[0, 0] = 255
    turned = turner(source_of("0", rotate=rotate, flip=flip))(frame)
    assert turned.shape == ((6, 4, 3) if rotate % 180 else (4, 6, 3))
    assert turned[corner].tolist() == [255] * 3
    assert turned.flags.c_contiguous
    assert int(turned.sum()) == 3 * 255


def test_feeds_turn_what_they_hand_on() -> None:
    for uri in ("synthetic://hive?frames=3", "synthetic://hive?frames=3&live=1"):
        feed = make_feed(source_of(uri, rotate=90), say=lambda _: None)
        feed.start()
        shot = feed.next(10)
        feed.stop()
        assert shot is not None
        assert shot.frame.shape == (640, 360, 3)


# --- streams ---


@pytest.mark.parametrize(
    ("uri", "kind", "host"),
    [("udp://:5000", "udp", None), ("udp://@239.0.0.1:1234", "udp", None), ("srt://h:9000?mode=caller", "srt", None),
     ("rtmp://h/live/x", "rtmp", ("h", 1935)), ("rtmps://h/live/x", "rtmp", ("h", 443))],
)  # fmt: skip
def test_streams_are_named_as_elsewhere(uri: str, kind: str, host: object) -> None:
    source = parse_source(source_of(uri))
    assert (source.kind, source.live, source.host) == (kind, True, host)
    if uri == "udp://:5000":
        assert source.secret_url == "udp://0.0.0.0:5000"


def test_a_passphrase_is_not_shown() -> None:
    source = parse_source(source_of("srt://h:9000?passphrase=longsecret1&streamid=x"))
    assert "longsecret1" not in source.shown
    assert "longsecret1" not in source.hide("cannot open srt://h:9000?passphrase=longsecret1&streamid=x")


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def sender(*out: str) -> subprocess.Popen[bytes]:
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs the program ffmpeg, which sends the stream")
    made = ["-re", "-f", "lavfi", "-i", "testsrc=size=160x96:rate=20", "-c:v", "libx264", "-tune", "zerolatency"]
    command = ["ffmpeg", "-loglevel", "quiet", *made, "-preset", "ultrafast", "-g", "10", *out]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL)


@pytest.fixture
def stream() -> Iterator[Callable[..., None]]:
    made: list[subprocess.Popen[bytes]] = []
    yield lambda *out: made.append(sender(*out))
    for process in made:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["udp", "rtmp"])
def test_a_stream_is_read(scheme: str, stream: Callable[..., None]) -> None:
    uri = f"{scheme}://127.0.0.1:{free_port()}" + ("/live/hive" if scheme == "rtmp" else "")
    stream("-f", "mpegts", uri + "?pkt_size=1316") if scheme == "udp" else stream("-f", "flv", "-listen", "1", uri)
    feed = make_feed(source_of(uri, open_timeout=4), say=lambda _: None)
    feed.start()
    shot = feed.next(30)
    assert shot is not None
    assert shot.frame.shape == (96, 160, 3)
    wait_for(lambda: feed.counters.captured >= 20)
    feed.stop()
