"""Pictures that follow each other: the live one, and a clip's at their own pace; and the newest one alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.camera.config import WebConfig
from edgekit.camera.runtime import Camera
from edgekit.camera.store.avi import read_avi
from edgekit.camera.web.asked import chosen

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

_OLD = 10.0  # seconds; and three times the rate's step, where a camera looks more seldom
_KIND = "multipart/x-mixed-replace; boundary=frame"


class Streams:
    """The places of viewers, and what they are shown.

    Args:
        camera: whose pictures.
        config: how many viewers, how often.
        stopping: whether long answers should end.
    """

    def __init__(self, camera: Camera, config: WebConfig, stopping: Callable[[], bool]) -> None:
        self._camera, self._config, self._stopping = camera, config, stopping
        self.viewers = 0
        self._lookers = ThreadPoolExecutor(config.viewers, "camera-viewer")  # each may wait a second for a picture

    def close(self) -> None:
        self._lookers.shutdown(wait=False)

    async def live(self, request: Request) -> Response:
        lookout = chosen(request, self._camera)
        return self._stream(request, lambda: self._live(lookout.name))

    def clip(self, request: Request, path: Path) -> Response:
        return self._stream(request, lambda: self._clip(path))

    async def snapshot(self, request: Request) -> Response:
        """The newest picture with its age in seconds, or 503 where there is none of now; with `?old=yes` the last one
        there was, however old."""
        from starlette.responses import PlainTextResponse, Response

        lookout = chosen(request, self._camera)
        view, rate = lookout.view, lookout.health.rate
        newest, age = await asyncio.to_thread(view.newest), view.age
        if newest is None or age is None:
            return PlainTextResponse("no frame yet", 503)
        headers = {"x-frame-age": f"{age:.3f}"}
        fps = rate.fps if rate else 0.0
        old = age > max(_OLD, 3 / fps if fps > 0 else 0.0)
        if old and request.query_params.get("old") != "yes":
            return PlainTextResponse(f"the newest frame is {age:.0f} s old", 503, headers)
        return Response(newest[1], media_type="image/jpeg", headers=headers)

    def _stream(self, request: Request, parts: Callable[[], AsyncGenerator[bytes, None]]) -> Response:
        """Pictures for an `img`, while there is a place for a viewer."""
        from starlette.responses import PlainTextResponse, Response, StreamingResponse

        streams = self
        if request.method == "HEAD":
            return Response(media_type=_KIND)

        class Viewed(StreamingResponse):
            async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
                if streams.viewers >= streams._config.viewers:
                    await PlainTextResponse("too many viewers (web.viewers)", 503)(scope, receive, send)
                    return
                streams.viewers += 1  # no await since the look: 20 that come at once are counted one by one
                try:
                    await super().__call__(scope, receive, send)
                finally:
                    streams.viewers -= 1

        return Viewed(parts(), media_type=_KIND)

    async def _live(self, camera: str) -> AsyncGenerator[bytes, None]:
        number, step = 0, 1 / self._config.live_fps
        loop = asyncio.get_running_loop()
        while not self._stopping():
            begun = time.monotonic()
            view = self._camera.lookouts[camera].view  # another one's, where the loop was begun anew
            newest = await loop.run_in_executor(self._lookers, view.newest, number, 1.0)
            if newest is not None:
                number, jpeg = newest
                yield _part(jpeg)
            await asyncio.sleep(max(0.005, step - (time.monotonic() - begun)))

    async def _clip(self, path: Path) -> AsyncGenerator[bytes, None]:
        """The pictures of a visit's clip at their own pace."""
        step, pictures = await asyncio.to_thread(read_avi, path)
        begun, last = time.monotonic(), b""
        for number, jpeg in enumerate(pictures):
            await asyncio.sleep(max(0.0, begun + number * step - time.monotonic()))
            if self._stopping():
                return
            yield _part(jpeg)
            last = jpeg
        if last:
            yield _part(last) + b"--frame--\r\n"


def _part(jpeg: bytes) -> bytes:
    """One picture of a stream; browsers show it once the next boundary came."""
    return f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n".encode() + jpeg + b"\r\n"
