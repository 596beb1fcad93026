"""MJPEG over HTTP, taken apart here: a truncated picture costs that picture and nothing else.

FFmpeg's reader needs a second to open, decodes half pictures without saying so, and cannot tell a user from a stalled
server. The format is RFC 2046's multipart, and cameras break it in known ways: no length, a wrong length, a boundary
with or without its dashes.
"""

from __future__ import annotations

import http.client
import re
import urllib.error
import urllib.request
from urllib.parse import unquote

import numpy as np

from edgekit.camera.config import SourceConfig
from edgekit.camera.source.capture import CaptureGrabber
from edgekit.camera.source.grabber import Grabber
from edgekit.camera.source.opencv import quiet_cv2
from edgekit.camera.source.uri import Source
from edgekit.errors import SourceError
from edgekit.reading.limits import CLIP_PICTURE
from edgekit.vision.image import Frame, within_limits

_START, _END = b"\xff\xd8", b"\xff\xd9"
_LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)


def open_http(source: Source, config: SourceConfig) -> Grabber:
    """An HTTP source: MJPEG taken apart here, anything else by FFmpeg. Raises SourceError as `open_mjpeg`."""
    return open_mjpeg(source, config) or CaptureGrabber(source, config)


def open_mjpeg(source: Source, config: SourceConfig) -> MjpegGrabber | None:
    """Opens an HTTP source; None where it answers with something else than MJPEG, which FFmpeg may know.

    Raises:
        SourceError: no answer, a refusal, a wrong password.
    """
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    if source.user:
        passwords.add_password(None, source.place, unquote(source.user), unquote(source.password))
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPBasicAuthHandler(passwords),
        urllib.request.HTTPDigestAuthHandler(passwords),
    )
    opener.addheaders = [("User-Agent", "edgekit")]
    try:
        answer = opener.open(source.place, timeout=config.open_timeout)
    except urllib.error.HTTPError as error:
        error.close()
        told = "user or password are wrong" if error.code in (401, 403) else "the server refuses"
        raise SourceError("The stream cannot be opened.", got=f"HTTP {error.code}: {told}") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise SourceError("The stream cannot be opened.", got=f"{source.shown}: {source.hide(str(reason))}") from None
    kind = str(answer.headers.get("Content-Type", ""))
    match = re.search(r'boundary="?([^";\s]+)', kind)
    if not kind.lower().startswith("multipart/") or match is None:
        answer.close()
        return None
    return MjpegGrabber(answer, match[1].encode("latin-1"), config.read_timeout)


class MjpegGrabber(Grabber):
    """Pictures out of an open multipart answer.

    Args:
        answer: has `read1` and `close`; reading from it times out.
        boundary: as the Content-Type says it.
        timeout: seconds, for the message.
    """

    def __init__(self, answer: http.client.HTTPResponse, boundary: bytes, timeout: float) -> None:
        self._answer = answer
        self._mark = boundary if boundary.startswith(b"--") else b"--" + boundary
        self._timeout = timeout
        self._held = bytearray()
        self._seen = 0  # of what is held, so much has no boundary in it
        self._cv2 = quiet_cv2()

    def read(self) -> Frame | None:
        return self._decode(self._part())

    def close(self) -> None:
        self._answer.close()

    def _part(self) -> bytes:
        """The next part, headers and picture, as far as it came."""
        while True:
            part = self._whole_by_length()
            if part is not None:
                return part
            at = self._held.find(self._mark, max(0, self._seen - len(self._mark)))
            if at >= 0:
                part = bytes(self._held[:at])
                self._drop(at + len(self._mark))
                if part.strip(b"\r\n-"):
                    return part
                continue
            self._seen = len(self._held)
            if len(self._held) > CLIP_PICTURE:
                raise SourceError("The stream is no MJPEG.", got=f"{len(self._held)} bytes without a boundary")
            self._held += self._more()

    def _whole_by_length(self) -> bytes | None:
        """A part that is complete by its own Content-Length, so that nobody waits for the next boundary."""
        start = self._held.find(_START)
        if start < 0:
            return None
        length = _LENGTH.search(self._held, 0, start)
        if length is None:
            return None
        end = start + int(length[1])
        if len(self._held) < end or self._held[end - 2 : end] != _END:
            return None  # not here yet, or a length that lies: then the boundary decides
        if self._held.find(self._mark, start, end) >= 0:
            return None
        part = bytes(self._held[:end])
        self._drop(end)
        return part

    def _drop(self, count: int) -> None:
        del self._held[:count]
        self._seen = 0

    def _more(self) -> bytes:
        try:
            data = self._answer.read1(1 << 16)
        except TimeoutError as error:
            raise SourceError(
                "The stream stalled.", got=f"nothing for {self._timeout:g} s", expected="frames"
            ) from error
        except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:  # closed under the reader
            raise SourceError("The stream broke off.", got=str(error) or type(error).__name__) from error
        if not data:
            raise SourceError("The stream ended.", got="the server closed it", expected="frames")
        return data

    def _decode(self, part: bytes) -> Frame | None:
        start = part.find(_START)
        data = part[start:].rstrip(b"\r\n\0") if start >= 0 else b""
        if not data.endswith(_END):  # OpenCV would return it half grey
            return None
        if not within_limits(data):
            return None
        try:
            frame = self._cv2.imdecode(np.frombuffer(data, np.uint8), self._cv2.IMREAD_COLOR)
        except self._cv2.error:
            return None
        return None if frame is None else np.asarray(frame)
