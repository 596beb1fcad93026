"""A camera that gives one picture at a time, which is asked for again and again."""

from __future__ import annotations

import hashlib
import http.client
import threading
import time
from collections.abc import Callable, Mapping

from edgekit.camera.config import SourceConfig
from edgekit.camera.source.grabber import Grabber
from edgekit.camera.source.http.decode import jpeg, strictly
from edgekit.errors import SourceError
from edgekit.reading.limits import CLIP_PICTURE
from edgekit.vision.image import Frame

_USUAL = 1.0  # pictures a second that are asked for, where `source.fps` says nothing
_SLOWEST = 5.0  # seconds between two questions while nothing is new
_SLOWER = 1.25

Get = Callable[[Mapping[str, str]], http.client.HTTPResponse | None]
First = tuple[bytes, http.client.HTTPMessage]


class StillGrabber(Grabber):
    """New pictures from one address; what is unchanged by ETag, Last-Modified (RFC 9110, 13.1) or its bytes is none.

    Asks `source.fps` times a second, without it once a second, and less often, down to every 5 s, while nothing is new.

    Args:
        get: asks with these headers; None where nothing changed.
        first: the first picture and the headers of its answer.
    """

    def __init__(self, get: Get, config: SourceConfig, first: First) -> None:
        self._get, self._timeout = get, config.read_timeout
        self._shortest = self._pause = 1 / (config.fps or _USUAL)
        self._longest = self._shortest if config.fps else _SLOWEST
        self.patience = self._most = max(config.read_timeout, config.frozen_after, 3 * self._longest)
        self._first: First | None = first
        self._validators: dict[str, str] = {}
        self._seen = b""
        self._new_at = self._asked_at = time.monotonic()
        self._closed = threading.Event()

    def read(self) -> Frame | None:
        while True:
            answer = self._ask()
            if answer is not None and self._is_new(*answer):
                self._pause, self._new_at = self._shortest, time.monotonic()
                data = answer[0]
                return jpeg(data, data.endswith(b"\xff\xd9")) if data.startswith(b"\xff\xd8") else strictly(data)
            self._pause = min(self._longest, self._pause * _SLOWER)
            same_for = time.monotonic() - self._new_at
            if same_for > self._most:
                raise SourceError(
                    "The picture does not change.",
                    got=f"the same for {same_for:.0f} s",
                    expected="another one",
                    fix="where it is taken less often, say so: source.fps=0.016 is once a minute",
                )

    def wake(self) -> None:
        self._closed.set()

    def close(self) -> None:
        self._closed.set()

    def _ask(self) -> First | None:
        """The next answer, once it is due; None where the server says that nothing changed."""
        if self._first is not None:
            first, self._first = self._first, None
            return first
        if self._closed.wait(max(0.0, self._asked_at + self._pause - time.monotonic())):
            raise SourceError("The stream broke off.", got="it was closed", expected="frames")
        self._asked_at = time.monotonic()
        answer = self._get(self._validators)
        if answer is None:
            return None
        until = time.monotonic() + self._timeout
        data = bytearray()
        try:
            while more := answer.read1(1 << 16):
                data += more
                if len(data) > CLIP_PICTURE or time.monotonic() > until:
                    raise SourceError("The picture does not end.", got=f"{len(data)} bytes in {self._timeout:g} s")
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise SourceError("The stream broke off.", got=str(error) or type(error).__name__) from None
        finally:
            answer.close()
        return bytes(data), answer.headers

    def _is_new(self, data: bytes, headers: http.client.HTTPMessage) -> bool:
        named = (("If-None-Match", headers.get("ETag")), ("If-Modified-Since", headers.get("Last-Modified")))
        self._validators = {name: value for name, value in named if value}
        digest = hashlib.blake2b(data, digest_size=16).digest()
        seen, self._seen = self._seen, digest
        return digest != seen
