"""HTTP cameras: a connection with user and password, and what kind of stream answers."""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from urllib.parse import unquote

from edgekit.camera.config import SourceConfig
from edgekit.camera.source.capture import CaptureGrabber
from edgekit.camera.source.grabber import Grabber
from edgekit.camera.source.http.decode import is_picture
from edgekit.camera.source.http.jpegs import Jpegs
from edgekit.camera.source.http.mjpeg import MjpegGrabber
from edgekit.camera.source.http.still import StillGrabber
from edgekit.camera.source.uri import Source
from edgekit.errors import SourceError
from edgekit.reading.limits import CLIP_PICTURE

_HEAD = 4096  # bytes that tell what a stream is


class Link:
    """Asks one address again and again, with its user and password. Through no proxy."""

    def __init__(self, source: Source, timeout: float) -> None:
        self._source, self._timeout = source, timeout
        passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        if source.user:
            passwords.add_password(None, source.place, unquote(source.user), unquote(source.password))
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPBasicAuthHandler(passwords),
            urllib.request.HTTPDigestAuthHandler(passwords),
        )
        self._opener.addheaders = [("User-Agent", "edgekit")]

    def get(self, headers: Mapping[str, str] | None = None) -> http.client.HTTPResponse | None:
        """The answer, whose reading times out; None where nothing changed since (304).

        Raises:
            SourceError: no answer, a refusal, a wrong password.
        """
        request = urllib.request.Request(self._source.place, headers=dict(headers or {}))  # noqa: S310 - http(s) only
        try:
            answer: http.client.HTTPResponse = self._opener.open(request, timeout=self._timeout)
            return answer
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 304:
                return None
            told = "user or password are wrong" if error.code in (401, 403) else "the server refuses"
            raise SourceError("The stream cannot be opened.", got=f"HTTP {error.code}: {told}") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = self._source.hide(str(getattr(error, "reason", error)))
            got = f"{self._source.shown}: {reason}"
            raise SourceError("The stream cannot be opened.", got=got) from None


def open_http(source: Source, config: SourceConfig) -> Grabber:
    """MJPEG and still pictures are taken apart here, by what comes and not by what the headers say of it; anything
    else by FFmpeg. Raises SourceError as `Link.get`."""
    link = Link(source, config.open_timeout)
    answer = link.get()
    if answer is None:
        raise SourceError("The stream cannot be opened.", got="HTTP 304 to a first question", expected="a picture")
    kind = str(answer.headers.get("Content-Type", "")).lower()
    if kind.startswith("multipart/"):
        return MjpegGrabber(answer, config.read_timeout)
    try:
        head, over = _beginning(answer, config.open_timeout)
    except (OSError, http.client.HTTPException, ValueError) as error:
        answer.close()
        raise SourceError("The stream broke off.", got=str(error) or type(error).__name__) from None
    if is_picture(head) and over:
        return StillGrabber(link.get, config, (head, answer.headers))
    if not over and (head.startswith((b"\xff\xd8\xff", b"--")) or b"\n--" in head[:_HEAD]):
        return MjpegGrabber(answer, config.read_timeout, head)
    answer.close()
    return CaptureGrabber(source, config)


def _beginning(answer: http.client.HTTPResponse, seconds: float) -> tuple[bytes, bool]:
    """What tells a still picture from a stream: all of it, or as far as a second picture begins; and whether all."""
    until = time.monotonic() + seconds
    data, jpegs, pictures = bytearray(), Jpegs(), 0
    while len(data) <= CLIP_PICTURE:
        more = answer.read1(1 << 16)
        if not more:
            return bytes(data), True
        data += more
        if len(data) >= _HEAD and not (is_picture(data) or b"\xff\xd8\xff" in data[:_HEAD]):
            break
        jpegs.feed(more)
        while jpegs.next() is not None:
            pictures += 1
        if pictures > 1 or (pictures and jpegs.begun) or time.monotonic() > until:
            break
    return bytes(data), False
