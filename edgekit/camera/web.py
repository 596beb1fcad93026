"""The page: live picture, visits, counts, status, metrics. One file of HTML, nothing from elsewhere."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sqlite3
import threading
import time
from collections.abc import AsyncGenerator
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from edgekit.camera.avi import read_avi
from edgekit.camera.counts import BUCKET, level_of
from edgekit.camera.guard import Guard, check_web
from edgekit.camera.metrics import exposition
from edgekit.camera.reader import Reader, local_day
from edgekit.camera.runtime import Camera
from edgekit.errors import UsageError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_DAY = 86400
_ID = re.compile(r"[0-9a-f-]{36}")
_STOP = 3.0  # seconds
_BODY = 4096  # bytes of a form
_SECURITY = (
    (b"content-security-policy", b"default-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
                                 b"img-src 'self' data:; frame-ancestors 'none'; form-action 'self'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)  # fmt: skip


class Page:
    """Serves a camera's page in a thread of its own.

    Raises:
        UsageError: it listens wider than this machine without a token, or the port is taken.
    """

    def __init__(self, camera: Camera) -> None:
        import uvicorn

        config = camera.config.web
        self._camera, self._config = camera, config
        self._token = check_web(config)
        self._reader = Reader(camera.config.store.folder) if camera.config.store.folder else None
        self._viewers = 0
        self._socket = _bound(config.host, config.port)
        self.port = int(self._socket.getsockname()[1])
        self._guard = Guard(self._app(), self._token)
        self._server = uvicorn.Server(
            uvicorn.Config(self._guard, log_level="critical", access_log=False, lifespan="off", server_header=False,
                           timeout_graceful_shutdown=1, limit_concurrency=64, ws="none", loop="asyncio", http="h11")
        )  # fmt: skip
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="camera-web", daemon=True
        )

    @property
    def url(self) -> str:
        host = self._config.host
        shown = f"[{host}]" if ":" in host else host
        return f"http://{'localhost' if host in ('0.0.0.0', '::') else shown}:{self.port}/"  # noqa: S104 - only compared

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(_STOP)
        self._socket.close()

    def _app(self) -> Any:
        from starlette.applications import Starlette
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
            Route("/metrics", self._metrics),
            Route("/livez", self._livez),
            Route("/readyz", self._readyz),
        ]

        async def not_now(_: Request, error: Exception) -> Response:
            return _plain(f"the store cannot be read now: {error}", 503)

        return Starlette(routes=routes, exception_handlers={sqlite3.Error: not_now})

    async def _index(self, _: Request) -> Response:
        from starlette.responses import HTMLResponse

        return HTMLResponse(_page(), headers={k.decode(): v.decode() for k, v in _SECURITY})

    async def _login(self, request: Request) -> Any:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _BODY:
                return _plain("too long", 413)
        token = parse_qs(body.decode("latin-1")).get("token", [""])[0]
        return _Raw(lambda send: self._guard.login(token, send))

    async def _live(self, _: Request) -> Response:
        return self._stream(self._parts())

    def _stream(self, parts: AsyncGenerator[bytes, None]) -> Response:
        """Pictures that follow each other, for an `img`."""
        from starlette.responses import StreamingResponse

        if self._viewers >= self._config.viewers:
            return _plain("too many viewers (web.viewers)", 503)
        return StreamingResponse(parts, media_type="multipart/x-mixed-replace; boundary=frame",
                                 headers={"Cache-Control": "no-store"})  # fmt: skip

    async def _parts(self) -> AsyncGenerator[bytes, None]:
        self._viewers += 1
        number, step = 0, 1 / self._config.live_fps
        try:
            while not self._server.should_exit:
                begun = time.monotonic()
                newest = await asyncio.to_thread(self._camera.view.newest, number, 1.0)
                if newest is not None:
                    number, jpeg = newest
                    yield _part(jpeg)
                await asyncio.sleep(max(0.005, step - (time.monotonic() - begun)))
        finally:
            self._viewers -= 1

    async def _clip(self, path: Path) -> AsyncGenerator[bytes, None]:
        """The pictures of a visit's clip at their own pace."""
        self._viewers += 1
        try:
            step, pictures = await asyncio.to_thread(read_avi, path)
            begun, last = time.monotonic(), b""
            for number, jpeg in enumerate(pictures):
                await asyncio.sleep(max(0.0, begun + number * step - time.monotonic()))
                if self._server.should_exit:
                    return
                yield _part(jpeg)
                last = jpeg
            if last:
                yield _part(last) + b"--frame--\r\n"
        finally:
            self._viewers -= 1

    async def _snapshot(self, _: Request) -> Response:
        from starlette.responses import Response

        newest = await asyncio.to_thread(self._camera.view.newest)
        if newest is None:
            return _plain("no frame yet", 503)
        return Response(newest[1], media_type="image/jpeg", headers={"Cache-Control": "no-store"})

    async def _status(self, _: Request) -> Response:
        config = self._camera.config
        status = self._camera.health.status()
        open_now = [{"label": v.label, "count": v.count} for v in self._camera.visits]
        store = {"kept": self._reader is not None}
        return _json({"device": config.device, "camera": config.camera, "open": open_now, "store": store, **status})

    async def _visits(self, request: Request) -> Response:
        before, label = request.query_params.get("before", ""), request.query_params.get("label", "")
        limit = min(200, _number(request.query_params.get("limit"), 30))
        if self._reader is None:
            return _json([])
        return _json(await asyncio.to_thread(self._reader.visits, before, limit, label))

    async def _counts(self, request: Request) -> Response:
        days = min(366, _number(request.query_params.get("days"), 14))
        return _json(await asyncio.to_thread(self._counted, days))

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
        from starlette.responses import FileResponse

        ident, _, suffix = request.path_params["name"].partition(".")
        kind = {"jpg": "snapshot", "avi": "clip", "mjpg": "clip"}.get(suffix)
        if self._reader is None or kind is None or not _ID.fullmatch(ident):
            return _plain("no such file", 404)
        event = await asyncio.to_thread(self._reader.visit, ident)
        path = self._reader.folder / event[kind]["path"] if event and event.get(kind) else None
        if path is None or not path.is_file():
            return _plain("no such file", 404)
        return self._stream(self._clip(path)) if suffix == "mjpg" else FileResponse(path)

    async def _metrics(self, _: Request) -> Response:
        from starlette.responses import Response

        labels = {"device": self._camera.config.device, "camera": self._camera.config.camera}
        body, kind = await asyncio.to_thread(exposition, self._camera.health.status, labels)
        return Response(body, headers={"Content-Type": kind})

    async def _livez(self, _: Request) -> Response:
        alive, why = self._camera.health.alive()
        return _plain("alive" if alive else why, 200 if alive else 503)

    async def _readyz(self, _: Request) -> Response:
        ready, why = self._camera.health.ready()
        return _plain("ready" if ready else why, 200 if ready else 503)


class _Raw:
    """An answer that writes itself."""

    def __init__(self, write: Any) -> None:
        self._write = write

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._write(send)


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    link = socket.socket(family, socket.SOCK_STREAM)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        link.bind((host.strip("[]"), port))
        link.listen(64)
    except OSError as error:
        link.close()
        raise UsageError(
            f"The page cannot listen on {host} port {port}.", got=error.strerror or str(error),
            fix="--set web.port=0 takes any free port, --set web.enabled=false none",
        ) from error  # fmt: skip
    return link


@lru_cache(maxsize=1)
def _page() -> str:
    return files("edgekit.camera").joinpath("page.html").read_text(encoding="utf-8")


def _part(jpeg: bytes) -> bytes:
    """One picture of a stream; browsers show it once the next boundary came."""
    return f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n".encode() + jpeg + b"\r\n"


def _plain(text: str, status: int) -> Response:
    from starlette.responses import PlainTextResponse

    return PlainTextResponse(text, status, headers={"Cache-Control": "no-store"})


def _json(value: Any) -> Response:
    from starlette.responses import Response

    body = json.dumps(value, ensure_ascii=False)
    return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})


def _number(text: str | None, otherwise: int) -> int:
    return max(1, int(text)) if text and text.isdigit() and len(text) < 6 else otherwise
