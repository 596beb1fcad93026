"""Thirty ways in which cameras send MJPEG over HTTP: of each the frames are those that were sent."""

from __future__ import annotations

import io
import itertools
import socket
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PIL import Image

from edgekit.camera.source.http.jpegs import Jpegs
from edgekit.camera.source.open import open_grabber
from edgekit.camera.source.uri import parse_source
from edgekit.errors import SourceError
from tests.camera.conftest import source_of

COUNT = 6
OK = b"HTTP/1.1 200 OK\r\n"
MULTI = OK + b"Content-Type: multipart/x-mixed-replace; boundary=%s\r\n\r\n"


def picture(number: int, **options: object) -> bytes:
    """A JPEG of noise with its number in a corner."""
    pixels = np.random.default_rng(number).integers(60, 200, (48, 64, 3), np.uint8)
    pixels[:16, :16] = 20 + 30 * number
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", **options)
    return out.getvalue()


def number_of(frame: np.ndarray) -> int:
    return round((float(frame[4:12, 4:12].mean()) - 20) / 30)


PICTURES = [picture(i) for i in range(COUNT)]


def parts(
    made: list[bytes] = PICTURES,
    mark: bytes = b"--mark",
    head: Callable[[bytes], bytes] = lambda p: b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n" % len(p),
    line: bytes = b"\r\n",
    after: bytes = b"",
) -> bytes:
    return b"".join(
        mark + line + head(p).replace(b"\r\n", line) + line + p + after + line for p in made
    ) + mark + line  # fmt: skip


def lengths(change: int) -> Callable[[bytes], bytes]:
    return lambda p: b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n" % max(0, len(p) + change)


def with_segment(p: bytes, body: bytes, code: int = 0xFE) -> bytes:
    return p[:2] + bytes((0xFF, code)) + (len(body) + 2).to_bytes(2, "big") + body + p[2:]


def chunked(data: bytes, size: int = 700) -> bytes:
    pieces = (data[i : i + size] for i in range(0, len(data), size))
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces)


def with_thumbnail(p: bytes) -> bytes:
    thumbnail = io.BytesIO()
    Image.new("RGB", (16, 16), (1, 2, 3)).save(thumbnail, "JPEG")
    return with_segment(p, b"Exif\0\0" + thumbnail.getvalue(), 0xE1)


def filled(p: bytes) -> bytes:
    """FF bytes before markers, as T.81 B.1.1.2 allows."""
    at = p.index(b"\xff\xdb")
    return p[:at] + b"\xff\xff" + p[at:-2] + b"\xff\xff\xff\xd9"


def padded_head(p: bytes) -> bytes:
    return b"Content-Type: image/jpeg\r\nX-Padding: " + b"x" * 3000 + b"\r\n"


STREAMS: dict[str, bytes] = {
    "plain": MULTI % b"mark" + parts(),
    "no Content-Length": MULTI % b"mark" + parts(head=lambda _: b"Content-Type: image/jpeg\r\n"),
    "a length too short": MULTI % b"mark" + parts(head=lengths(-100)),
    "a length too long": MULTI % b"mark" + parts(head=lengths(500)),
    "a length of nothing": MULTI % b"mark" + parts(head=lengths(-(10**6))),
    "a length that is no number": MULTI % b"mark" + parts(head=lambda _: b"Content-Length: many\r\n"),
    "a quoted boundary": MULTI % b'"mark"' + parts(),
    "dashes in the header too": MULTI % b"--mark" + parts(),
    "another boundary than the header says": MULTI % b"something" + parts(),
    "no boundary in the header": OK + b"Content-Type: multipart/x-mixed-replace\r\n\r\n" + parts(),
    "a boundary without dashes": MULTI % b"mark" + parts(mark=b"mark"),
    "no boundary at all": MULTI % b"mark" + b"".join(PICTURES) + PICTURES[0][:20],
    "no blank line and no headers": MULTI % b"mark" + b"".join(b"--mark\r\n" + p for p in PICTURES) + b"--mark",
    "single line feeds": MULTI % b"mark" + parts(line=b"\n"),
    "headers in small letters": MULTI % b"mark" + parts(head=lambda p: b"content-type:image/jpeg\r\n"),
    "a text before the first part": MULTI % b"mark" + b"This is a camera.\r\nWelcome.\r\n" + parts(),
    "zeros after the end marker": MULTI % b"mark" + parts(after=bytes(300)),
    "bytes FF after the end marker": MULTI % b"mark" + parts(after=b"\xff" * 300),
    "a tail of a maker's own after the end marker": MULTI % b"mark" + parts(after=bytes(range(200, 255)) * 20),
    "a preview after the end marker": MULTI % b"mark" + parts(after=PICTURES[-1]),
    "a thumbnail inside": MULTI % b"mark" + parts([with_thumbnail(p) for p in PICTURES]),
    "the boundary inside a comment": MULTI % b"mark" + parts([with_segment(p, b"\r\n--mark\r\n") for p in PICTURES]),
    "markers inside a comment": MULTI % b"mark" + parts([with_segment(p, b"\xff\xd9\xff\xd8\xff") for p in PICTURES]),
    "filling before markers": MULTI % b"mark" + parts([filled(p) for p in PICTURES]),
    "progressive pictures": MULTI % b"mark" + parts([picture(i, progressive=True) for i in range(COUNT)]),
    "restart markers": MULTI % b"mark" + parts([picture(i, restart_marker_blocks=1) for i in range(COUNT)]),
    "no end marker": MULTI % b"mark" + parts([p[:-2] for p in PICTURES]) + PICTURES[0][:20],
    "chunks": OK + b"Content-Type: multipart/x-mixed-replace;boundary=mark\r\nTransfer-Encoding: chunked\r\n\r\n"
             + chunked(parts()),
    "called a picture": OK + b"Content-Type: image/jpeg\r\n\r\n" + b"".join(PICTURES) + PICTURES[0][:20],
    "called a video": OK + b"Content-Type: video/x-motion-jpeg\r\n\r\n" + parts(),
    "called bytes": OK + b"Content-Type: application/octet-stream\r\n\r\n" + parts(),
    "called nothing": b"HTTP/1.0 200 OK\r\n\r\n" + parts(),
    "long headers in a part": MULTI % b"mark" + parts(head=padded_head),
}  # fmt: skip


class Raw:
    """A server that sends these bytes to everybody, some at a time, and then ends the connection where it `ends`."""

    def __init__(self, data: bytes, ends: bool) -> None:
        self.data, self.ends = data, ends
        self.links: list[socket.socket] = []
        self.server = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.server.getsockname()[1]}/stream"

    def _serve(self) -> None:
        while True:
            try:
                link, _ = self.server.accept()
            except OSError:
                return
            self.links.append(link)
            link.recv(4096)
            for i in range(0, len(self.data), 997):
                link.sendall(self.data[i : i + 997])
            if self.ends:
                link.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.server.close()
        for link in self.links:
            link.close()


@pytest.fixture
def raw() -> Iterator[Callable[..., Raw]]:
    made: list[Raw] = []

    def make(*arguments: object) -> Raw:
        made.append(Raw(*arguments))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for server in made:
        server.close()


@pytest.mark.parametrize("name", STREAMS)
def test_an_odd_stream_gives_the_frames_that_were_sent(name: str, raw: Callable[..., Raw]) -> None:
    config = source_of(raw(STREAMS[name], not name.startswith("called")).uri, read_timeout=0.3, open_timeout=0.3)
    grabber = open_grabber(parse_source(config), config)
    frames = []
    with pytest.raises(SourceError):  # nothing more comes
        while True:
            frames.append(grabber.read())
    grabber.close()
    assert [None if f is None else number_of(f) for f in frames[:COUNT]] == list(range(COUNT))
    assert len(frames) == COUNT
    assert all(f is not None and f.shape == (48, 64, 3) for f in frames)


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 64])
def test_pictures_are_found_however_the_bytes_are_cut(piece: int) -> None:
    jpegs, found = Jpegs(), []
    data = parts([with_thumbnail(filled(p)) for p in PICTURES], after=b"\xff\0\xff")
    for i in range(0, len(data), piece):
        jpegs.feed(data[i : i + piece])
        while (one := jpegs.next()) is not None:
            found.append(one)
    assert [whole for _, whole in found] == [True] * COUNT
    assert [data for data, _ in found] == [with_thumbnail(filled(p)) for p in PICTURES]


def test_a_cut_costs_that_picture_wherever_it_is() -> None:
    for at in range(3, len(PICTURES[1]) - 3, 7):
        jpegs = Jpegs()
        jpegs.feed(parts([PICTURES[0], PICTURES[1][:at], PICTURES[2], PICTURES[3], PICTURES[4]]))
        found = list(iter(jpegs.next, None))
        whole = [data for data, good in found if good]
        assert PICTURES[0] in whole, at
        assert whole[-2:] == PICTURES[3:5], at  # a cut header may take the next picture with it
        assert all(data in PICTURES for data in whole), at


def test_noise_is_held_for_no_longer_than_it_may_be_a_picture() -> None:
    jpegs, rng = Jpegs(), np.random.default_rng(0)
    for _ in itertools.repeat(None, 200):
        jpegs.feed(rng.bytes(1 << 14))
        while jpegs.next() is not None:
            pass
    assert len(jpegs) < 1 << 20
