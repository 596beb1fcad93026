"""The page: pictures, what is known of them, and changes to it, over HTTP on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from edgekit.errors import EdgekitError, OutputError, UsageError
from edgekit.labels.assistant import Assistant, Say
from edgekit.labels.pictures import SIZES, Pictures
from edgekit.labels.schema import read_labels
from edgekit.labels.store import Known, StaleError
from edgekit.labels.web.prompts import read_prompt, told
from edgekit.serving.headers import security_headers
from edgekit.serving.requests import RefusedRequestError, read_request, whole
from edgekit.serving.thread import ServerThread
from edgekit.serving.token_auth import TokenAuth, answered

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

Plain = dict[str, Any]
NAME = "edgekit label"
PARTS = {
    "page.html": "text/html",
    "page.css": "text/css",
    "page.js": "text/javascript",
    "canvas.js": "text/javascript",
    "keys.js": "text/javascript",
    "panels.js": "text/javascript",
    "talk.js": "text/javascript",
}


class LabelPage:
    """Serves the page of a session in a thread of its own.

    Args:
        assistant: what helps, with its session; both stay the caller's to close.
        host, port: where it listens; port 0 is any free one.
        token: that whoever comes must bring; None where only this machine can reach it.
        say: takes lines for people.

    Raises:
        UsageError: the port is taken.
    """

    def __init__(self, assistant: Assistant, host: str, port: int, token: str | None = None, say: Say = print) -> None:
        fix, headers = "--port 0 takes any free one", security_headers(pictures="'self' blob: data:")
        app = label_app(assistant, token)
        self._thread = ServerThread(app, host, port, headers, name="label-web", fix=fix, say=say)
        self.port, self.url = self._thread.port, self._thread.url

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._thread.stop()


def label_app(assistant: Assistant, token: str | None = None) -> Any:
    """The page as an ASGI application. Without a token it answers to loopback names alone."""
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.middleware.authentication import AuthenticationMiddleware
    from starlette.routing import Route

    auth, answers = TokenAuth(token, NAME), _Answers(assistant)
    routes = [
        Route("/", _part),
        Route("/login", auth.login_form, methods=["POST"]),
        Route("/{part}", _part),
        Route("/api/session", answers.told),
        Route("/api/pictures", answers.list),
        Route("/api/pictures/{id:int}", answers.get),
        Route("/api/pictures/{id:int}", answers.changing(answers.edit), methods=["PUT"]),
        Route("/api/order", answers.order),
        Route("/api/pictures/{id:int}/proposals", answers.proposals),
        Route("/api/pictures/{id:int}/segment", answers.changing(answers.segment), methods=["POST"]),
        Route("/api/pictures/{id:int}/undo", answers.changing(answers.undo), methods=["POST"]),
        Route("/api/pictures/{id:int}/redo", answers.changing(answers.redo), methods=["POST"]),
        Route("/api/classes", answers.changing(answers.name_class), methods=["POST"]),
        Route("/pictures/{id:int}/{size:int}.jpg", answers.picture),
    ]
    backend: Any = auth  # no AuthenticationBackend by its class: Starlette may not be installed
    return Starlette(
        routes=routes, middleware=[Middleware(AuthenticationMiddleware, backend=backend, on_error=answered)]
    )


async def _part(request: Request) -> Response:
    from starlette.responses import PlainTextResponse, Response

    part = request.path_params.get("part", "page.html")
    if part not in PARTS:
        return PlainTextResponse("no such page", 404)
    text = files("edgekit.labels.web").joinpath(part).read_text(encoding="utf-8")
    return Response(text, media_type=PARTS[part])


class _Answers:
    def __init__(self, assistant: Assistant) -> None:
        self._assistant, self._session, self._pictures = assistant, assistant.session, Pictures()

    async def told(self, _: Request) -> Response:
        from starlette.responses import JSONResponse

        session = self._session
        return JSONResponse(
            {
                "folder": session.root.absolute().name,
                "out": str(session.out),
                "classes": session.classes,
                "behind": session.behind,
                "proposes": self._assistant.proposes,
                "segments": self._assistant.segments,
                "clicks": self._assistant.clicks,
            }
        )

    async def order(self, _: Request) -> Response:
        from starlette.responses import JSONResponse

        return JSONResponse(self._assistant.order[1])

    async def list(self, request: Request) -> Response:
        """All pictures, or those that changed after number `after`."""
        from starlette.responses import JSONResponse

        given = request.query_params.get("after", "")
        after = int(given) if given.isdecimal() and len(given) < 16 else -1
        known = await asyncio.to_thread(self._session.briefs, after)
        rows = [[brief.id, brief.name, brief.done, brief.marks, brief.seq] for brief in known]
        told, order = self._assistant.told, self._assistant.order[0]
        return JSONResponse(
            {"pictures": rows, "classes": self._session.classes, "behind": self._session.behind, "told": told,
             "order": order}
        )  # fmt: skip

    async def get(self, request: Request) -> Response:
        return await self._of(request, self._plain)

    async def proposals(self, request: Request) -> Response:
        """Null where they are held back, to be measured."""
        return await self._of(request, self._offered)

    async def _of(self, request: Request, what: Callable[[Known], Any]) -> Response:
        from starlette.responses import JSONResponse, PlainTextResponse

        known = await asyncio.to_thread(self._session.get, request.path_params["id"])
        if known is None:
            return PlainTextResponse("no such picture", 404)
        try:
            return JSONResponse(await asyncio.to_thread(what, known))
        except EdgekitError as error:
            return PlainTextResponse(str(error), 422)

    def _offered(self, known: Known) -> Any:
        self._assistant.prepare(known)
        return self._assistant.shown(known)

    async def picture(self, request: Request) -> Response:
        from starlette.responses import PlainTextResponse, Response

        known = await asyncio.to_thread(self._session.get, request.path_params["id"])
        size = request.path_params["size"]
        if known is None or size not in SIZES:
            return PlainTextResponse("no such picture", 404)
        try:
            data = await asyncio.to_thread(self._pictures.jpeg, self._session.path(known), size)
        except EdgekitError as error:
            return PlainTextResponse(str(error), 422)
        return Response(data, media_type="image/jpeg")

    def changing(self, change: Callable[[Request, Plain], Plain]) -> Callable[[Request], Awaitable[Response]]:
        """A handler for what changes something: 409 with what is known now where somebody else was quicker."""

        async def handler(request: Request) -> Response:
            from starlette.responses import JSONResponse, PlainTextResponse

            try:
                given = await read_request(request)
                if "id" in request.path_params and self._session.get(request.path_params["id"]) is None:
                    raise RefusedRequestError(404, "no such picture")
                return JSONResponse(await asyncio.to_thread(change, request, given))
            except RefusedRequestError as error:
                return PlainTextResponse(str(error), error.status)
            except StaleError as error:
                return JSONResponse(await asyncio.to_thread(self._plain, error.now), 409)
            except EdgekitError as error:
                status = 400 if isinstance(error, UsageError) else 507 if isinstance(error, OutputError) else 422
                return PlainTextResponse(str(error), status)

        return handler

    def edit(self, request: Request, given: Plain) -> Plain:
        labels = read_labels(given.get("labels"))
        known = self._session.edit(request.path_params["id"], whole(given, "revision"), labels)
        self._assistant.check()
        return self._plain(known)

    def segment(self, request: Request, given: Plain) -> Plain:
        known = self._session.get(request.path_params["id"])
        assert known is not None
        return told(self._assistant.segment(known, read_prompt(given)))

    def undo(self, request: Request, given: Plain) -> Plain:
        return self._plain(self._session.undo(request.path_params["id"], whole(given, "revision")))

    def redo(self, request: Request, given: Plain) -> Plain:
        return self._plain(self._session.redo(request.path_params["id"], whole(given, "revision")))

    def name_class(self, _: Request, given: Plain) -> Plain:
        name = given.get("name")
        if not isinstance(name, str):
            raise RefusedRequestError(400, "name is no text")
        return {"label": self._session.name_class(name), "classes": self._session.classes}

    def _plain(self, known: Known) -> Plain:
        size, labels = self._session.size(known), known.labels
        return {
            "id": known.id,
            "name": known.name,
            "revision": known.revision,
            "width": size.width,
            "height": size.height,
            "labels": {
                "marks": [{"box": mark.box, "label": mark.label, "origin": mark.origin} for mark in labels.marks],
                "done": labels.done,
                "rejected": labels.rejected,
            },
            "undo": known.undo,
            "redo": known.redo,
            "behind": self._session.behind,
        }
