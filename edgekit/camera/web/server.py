"""The page: live picture, visits, counts, status, metrics. One file of HTML, nothing from elsewhere."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.artifacts.marks import read_marks
from edgekit.camera.events.counts import BUCKET
from edgekit.camera.events.levels import level_of
from edgekit.camera.runtime import Camera
from edgekit.camera.store.avi import read_avi
from edgekit.camera.store.reader import Reader, local_day
from edgekit.camera.web.marking import said_of
from edgekit.camera.web.metrics import exposition
from edgekit.camera.web.responses import page_headers, page_text, part
from edgekit.camera.web.token import check_web
from edgekit.errors import OutputError, UsageError
from edgekit.serving.requests import RefusedRequestError, read_request
from edgekit.serving.thread import ServerThread
from edgekit.serving.token_auth import TokenAuth, answered

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

_DAY = 86400
_MARK = 4096  # bytes of what is said of a visit
_ID = re.compile(r"[0-9a-f-]{36}")


class Page:
    """Serves a camera's page in a thread of its own.

    Args:
        say: takes lines for people.

    Raises:
        UsageError: it listens wider than this machine without a token, or the port is taken.
    """

    def __init__(self, camera: Camera, say: Callable[[str], None] = print) -> None:
        config = camera.config.web
        self._camera, self._config = camera, config
        self._reader = Reader(camera.config.store.folder) if camera.config.store.folder else None
        self._viewers = 0
        self._lookers = ThreadPoolExecutor(config.viewers, "camera-viewer")  # each may wait a second for a picture
        self._auth = TokenAuth(check_web(config), "edgekit camera")
        self._thread = ServerThread(
            self._app(),
            config.host,
            config.port,
            page_headers(),
            name="camera-web",
            fix="--set web.port=0 takes any free port, --set web.enabled=false none",
            say=say,
        )
        self.port, self.url = self._thread.port, self._thread.url

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._thread.stop()
        self._lookers.shutdown(wait=False)

    def _app(self) -> Any:
        from starlette.applications import Starlette
        from starlette.middleware import Middleware
        from starlette.middleware.authentication import AuthenticationMiddleware
        from starlette.responses import PlainTextResponse
        from starlette.routing import Route

        routes = [
            Route("/", self._index),
            Route("/login", self._login, methods=["POST"]),
            Route("/live.mjpg", self._live),
            Route("/snapshot.jpg", self._snapshot),
            Route("/api/status", self._status),
            Route("/api/visits", self._visits),
            Route("/api/counts", self._counts),
            Route("/visits/{name}", self._file),
            Route("/api/visits/{ident}/mark", self._mark, methods=["POST"]),
            Route("/metrics", self._metrics),
            Route("/livez", self._livez),
            Route("/readyz", self._readyz),
        ]

        async def not_now(_: Request, error: Exception) -> Response:
            return PlainTextResponse(f"the store cannot be read now: {error}", 503)

        backend: Any = self._auth  # no AuthenticationBackend by its class: Starlette may not be installed
        who = Middleware(AuthenticationMiddleware, backend=backend, on_error=answered)
        return Starlette(routes=routes, middleware=[who], exception_handlers={sqlite3.Error: not_now})

    async def _index(self, _: Request) -> Response:
        from starlette.responses import HTMLResponse

        return HTMLResponse(page_text())

    async def _login(self, request: Request) -> Response:
        return await self._auth.login_form(request)

    async def _live(self, request: Request) -> Response:
        return self._stream(request, self._parts)

    def _stream(self, request: Request, parts: Callable[[], AsyncGenerator[bytes, None]]) -> Response:
        """Pictures that follow each other, for an `img`, while there is a place for a viewer."""
        from starlette.responses import PlainTextResponse, Response, StreamingResponse

        kind, page = "multipart/x-mixed-replace; boundary=frame", self
        if request.method == "HEAD":
            return Response(media_type=kind)

        class Viewed(StreamingResponse):
            async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
                if page._viewers >= page._config.viewers:
                    await PlainTextResponse("too many viewers (web.viewers)", 503)(scope, receive, send)
                    return
                page._viewers += 1  # no await since the look: 20 that come at once are counted one by one
                try:
                    await super().__call__(scope, receive, send)
                finally:
                    page._viewers -= 1

        return Viewed(parts(), media_type=kind)

    async def _parts(self) -> AsyncGenerator[bytes, None]:
        number, step = 0, 1 / self._config.live_fps
        loop = asyncio.get_running_loop()
        while not self._thread.stopping:
            begun = time.monotonic()
            newest = await loop.run_in_executor(self._lookers, self._camera.view.newest, number, 1.0)
            if newest is not None:
                number, jpeg = newest
                yield part(jpeg)
            await asyncio.sleep(max(0.005, step - (time.monotonic() - begun)))

    async def _clip(self, path: Path) -> AsyncGenerator[bytes, None]:
        """The pictures of a visit's clip at their own pace."""
        step, pictures = await asyncio.to_thread(read_avi, path)
        begun, last = time.monotonic(), b""
        for number, jpeg in enumerate(pictures):
            await asyncio.sleep(max(0.0, begun + number * step - time.monotonic()))
            if self._thread.stopping:
                return
            yield part(jpeg)
            last = jpeg
        if last:
            yield part(last) + b"--frame--\r\n"

    async def _snapshot(self, _: Request) -> Response:
        from starlette.responses import PlainTextResponse, Response

        newest = await asyncio.to_thread(self._camera.view.newest)
        if newest is None:
            return PlainTextResponse("no frame yet", 503)
        return Response(newest[1], media_type="image/jpeg")

    async def _status(self, _: Request) -> Response:
        from starlette.responses import JSONResponse

        config = self._camera.config
        status = self._camera.health.status()
        open_now = [{"label": v.label, "count": v.count} for v in self._camera.visits]
        store = {"kept": self._reader is not None}
        return JSONResponse(
            {
                "device": config.device,
                "camera": config.camera,
                "labels": list(self._camera.classes),
                "open": open_now,
                "store": store,
                **status,
            }
        )

    async def _visits(self, request: Request) -> Response:
        from starlette.responses import JSONResponse

        before, label = request.query_params.get("before", ""), request.query_params.get("label", "")
        limit = min(200, _number(request.query_params.get("limit"), 30))
        if self._reader is None:
            return JSONResponse([])
        return JSONResponse(await asyncio.to_thread(self._marked, self._reader, before, limit, label))

    def _marked(self, reader: Reader, before: str, limit: int, label: str) -> list[dict[str, Any]]:
        """Visits, each with what was said of it."""
        said = {mark.visit: mark.to_dict() for mark in read_marks(reader.folder)}
        return [{**visit, "mark": said.get(visit["id"])} for visit in reader.visits(before, limit, label)]

    async def _mark(self, request: Request) -> Response:
        """Takes what a keeper says of a visit: {"verdict": "right" | "false" | "other" | null, "label": ...}."""
        from starlette.responses import JSONResponse

        ident = request.path_params["ident"]
        try:
            given = await read_request(request, _MARK)
            if self._reader is None or not _ID.fullmatch(ident):
                raise RefusedRequestError(404, "no such visit")
            event = await asyncio.to_thread(self._reader.visit, ident)
            if event is None:
                raise RefusedRequestError(404, "no such visit")
            told = await asyncio.to_thread(said_of, self._reader.folder, event, given)
        except RefusedRequestError as error:
            return JSONResponse({"error": str(error)}, error.status)
        except UsageError as error:
            return JSONResponse({"error": str(error)}, 400)
        except OutputError as error:  # nothing was kept, and the page says so
            return JSONResponse({"error": str(error)}, 507)
        return JSONResponse({"mark": told})

    async def _counts(self, request: Request) -> Response:
        from starlette.responses import JSONResponse

        days = min(366, _number(request.query_params.get("days"), 14))
        return JSONResponse(await asyncio.to_thread(self._counted, days))

    def _counted(self, days: int) -> dict[str, Any]:
        """Per label the most at once and the level on each of the last `days` days, and a day of quarters."""
        now = time.time()
        names = list(dict.fromkeys(local_day(now - _DAY * i) for i in range(days - 1, -1, -1)))
        if self._reader is None:
            return {"days": names, "labels": {}, "watched": {}, "today": {"bucket": BUCKET, "labels": {}}}
        since = now - _DAY * (days + 1)
        by_day = self._reader.days(since, now + _DAY)
        quarters = self._reader.quarters(now - _DAY, now + _DAY)
        watched: dict[str, float] = {}
        for bucket, seconds in self._reader.watched(since, now + _DAY).items():
            day = local_day(bucket)
            watched[day] = watched.get(day, 0.0) + seconds
        labels = {
            label: [{"most": found.get(day, 0), "level": level_of(label, found.get(day, 0))} for day in names]
            for label, found in by_day.items()
        }
        today = {label: {str(k): v for k, v in rows.items()} for label, rows in quarters.items()}
        return {
            "days": names,
            "labels": labels,
            "watched": {day: round(watched.get(day, 0.0)) for day in names},
            "today": {"bucket": BUCKET, "from": int((now - _DAY) // BUCKET + 1) * BUCKET, "labels": today},
        }

    async def _file(self, request: Request) -> Response:
        from starlette.responses import FileResponse, PlainTextResponse

        ident, _, suffix = request.path_params["name"].partition(".")
        kind = {"jpg": "snapshot", "avi": "clip", "mjpg": "clip"}.get(suffix)
        if self._reader is None or kind is None or not _ID.fullmatch(ident):
            return PlainTextResponse("no such file", 404)
        event = await asyncio.to_thread(self._reader.visit, ident)
        path = self._reader.folder / event[kind]["path"] if event and event.get(kind) else None
        if path is None or not path.is_file():
            return PlainTextResponse("no such file", 404)
        return self._stream(request, lambda: self._clip(path)) if suffix == "mjpg" else FileResponse(path)

    async def _metrics(self, _: Request) -> Response:
        from starlette.responses import Response

        labels = {"device": self._camera.config.device, "camera": self._camera.config.camera}
        body, kind = await asyncio.to_thread(exposition, self._camera.health.status, labels)
        return Response(body, headers={"Content-Type": kind})

    async def _livez(self, _: Request) -> Response:
        from starlette.responses import PlainTextResponse

        alive, why = self._camera.health.alive()
        return PlainTextResponse("alive" if alive else why, 200 if alive else 503)

    async def _readyz(self, _: Request) -> Response:
        from starlette.responses import PlainTextResponse

        ready, why = self._camera.health.ready()
        return PlainTextResponse("ready" if ready else why, 200 if ready else 503)


def _number(text: str | None, otherwise: int) -> int:
    return max(1, int(text)) if text and text.isdigit() and len(text) < 6 else otherwise
