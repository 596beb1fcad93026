"""The page in a thread of its own: its addresses, and who answers at each."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from edgekit.camera.runtime import Camera
from edgekit.camera.store.reader import Reader
from edgekit.camera.watch.part import Part
from edgekit.camera.web.behind import Behind
from edgekit.camera.web.encoder import ClipEncoder
from edgekit.camera.web.feed import FeedAnswers
from edgekit.camera.web.numbers import NumberAnswers
from edgekit.camera.web.parts import answer_part, page_headers
from edgekit.camera.web.streams import Streams
from edgekit.camera.web.telling import StatusAnswers, Updated
from edgekit.camera.web.token import check_web
from edgekit.camera.web.visits import VisitAnswers
from edgekit.camera.web.zoning import ZoneAnswers
from edgekit.serving.thread import ServerThread
from edgekit.serving.token_auth import TokenAuth, answered

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


_PATIENCE = 5.0  # seconds without a round of the page's loop


class Page:
    """Serves a camera's page in a thread of its own.

    Args:
        say: takes lines for people.
        updated: as `StatusAnswers` has it.

    Raises:
        UsageError: it listens wider than this machine without a token, or the port is taken.
    """

    def __init__(self, camera: Camera, say: Callable[[str], None] = print, updated: Updated = dict) -> None:
        config = camera.config.web
        self.reader = Reader(camera.config.store.folder) if camera.config.store.folder else None
        self.streams = Streams(camera, config, lambda: self._thread.stopping)
        self.encoder = ClipEncoder()
        self.auth = TokenAuth(check_web(config), "edgekit camera")
        self._thread = ServerThread(
            self._app(camera, updated),
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

    @property
    def part(self) -> Part:
        """The page as a part that is watched."""
        return Part("page", lambda: _standing(self._thread.stands_for), self._thread.renew, _PATIENCE)

    def stop(self) -> None:
        self._thread.stop()
        self.streams.close()
        self.encoder.close()

    def _app(self, camera: Camera, updated: Updated) -> Any:
        from starlette.applications import Starlette
        from starlette.middleware import Middleware
        from starlette.middleware.authentication import AuthenticationMiddleware
        from starlette.responses import PlainTextResponse
        from starlette.routing import Route

        told, numbers = StatusAnswers(camera, self.encoder, updated), NumberAnswers(self.reader)
        zones = ZoneAnswers(camera)
        streams, visits = self.streams, VisitAnswers(self.reader, self.streams, self.encoder)
        routes = [
            Route("/", answer_part),
            Route("/login", self.auth.login_form, methods=["POST"]),
            Route("/live.mjpg", streams.live),
            Route("/snapshot.jpg", streams.snapshot),
            Route("/api/status", told.status),
            Route("/api/visits", visits.list),
            Route("/api/visits/{ident}/mark", visits.mark, methods=["POST"]),
            Route("/visits/{name}", visits.file),
            Route("/api/visits.csv", numbers.visits_csv),
            Route("/api/counts", numbers.counts),
            Route("/api/today", numbers.today),
            Route("/api/events", FeedAnswers(self.reader).events),
            Route("/api/season", numbers.season),
            Route("/api/days.csv", numbers.days_csv),
            Route("/api/zones", zones.list),
            Route("/api/zones", zones.draw, methods=["POST"]),
            Route("/metrics", told.metrics),
            Route("/livez", told.livez),
            Route("/readyz", told.readyz),
            Route("/{part}", answer_part),
        ]

        async def not_now(_: Request, error: Exception) -> Response:
            return PlainTextResponse(f"the store cannot be read now: {error}", 503)

        backend: Any = self.auth  # no AuthenticationBackend by its class: Starlette may not be installed
        who = Middleware(AuthenticationMiddleware, backend=backend, on_error=answered)
        return Behind(Starlette(routes=routes, middleware=[who], exception_handlers={sqlite3.Error: not_now}))


def _standing(seconds: float) -> tuple[float, str]:
    return seconds, "its thread has ended" if seconds == float("inf") else f"it answers nobody for {seconds:.0f} s"
