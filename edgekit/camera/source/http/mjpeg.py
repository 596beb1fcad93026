"""MJPEG over HTTP, taken apart here: a truncated picture costs that picture and nothing else.

FFmpeg's reader needs a second to open, decodes half pictures without saying so, and cannot tell a user from a stalled
server. The format is RFC 2046's multipart, and cameras break it in every way; so pictures are found by their own
markers, and boundaries, lengths and headers are not believed.
"""

from __future__ import annotations

import http.client
import time

from edgekit.camera.source.grabber import Grabber
from edgekit.camera.source.http.decode import jpeg
from edgekit.camera.source.http.jpegs import Jpegs
from edgekit.errors import SourceError
from edgekit.reading.limits import CLIP_PICTURE
from edgekit.vision.image import Frame


class MjpegGrabber(Grabber):
    """Pictures out of an open answer.

    Args:
        answer: has `read1` and `close`; reading from it times out.
        timeout: seconds, for the message.
        head: bytes of it that were read already.
    """

    def __init__(self, answer: http.client.HTTPResponse, timeout: float, head: bytes = b"") -> None:
        self._answer, self._timeout = answer, timeout
        self._jpegs = Jpegs()
        self._jpegs.feed(head)
        self._idle = 0  # bytes without a picture

    def read(self) -> Frame | None:
        until = time.monotonic() + 2 * self._timeout
        while (found := self._jpegs.next()) is None:
            more = self._more()
            if time.monotonic() > until:  # a byte a second is no stall, and no picture
                raise SourceError("The stream drips.", got=f"no picture in {2 * self._timeout:g} s", expected="frames")
            self._idle += len(more)
            if self._idle > CLIP_PICTURE:
                raise SourceError("The stream is no MJPEG.", got=f"{self._idle} bytes without a picture")
            self._jpegs.feed(more)
        self._idle = 0
        return jpeg(*found)

    def close(self) -> None:
        self._answer.close()

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
