"""What goes for every request and answer: the place below which a proxy shows the page, and that nothing is kept."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_PREFIX = re.compile(rb"(/[A-Za-z0-9._~-]+){1,16}/?")


class Behind:
    """Around an ASGI application.

    The page's own addresses are relative, so a proxy that takes its prefix away needs nothing. One that leaves it there
    and names it in `X-Forwarded-Prefix` (as Traefik and Spring have it) is understood: the prefix goes before anything
    looks at the path, also who may see it.

    An answer that does not say whether it may be kept is not: these are pictures of somebody's garden.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def uncached(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                if not any(name.lower() == b"cache-control" for name, _ in headers):
                    headers.append((b"cache-control", b"no-store"))
                message = {**message, "headers": headers}
            await send(message)

        await self._app(_without_prefix(scope), receive, uncached)


def _without_prefix(scope: Scope) -> Scope:
    given: list[bytes] = [value for name, value in scope["headers"] if name == b"x-forwarded-prefix"]
    prefix = given[0].rstrip(b"/") if given else b""
    path: str = scope["path"]
    if not _PREFIX.fullmatch(prefix) or not path.startswith(prefix.decode() + "/"):
        return scope
    return {**scope, "path": path[len(prefix) :], "raw_path": path[len(prefix) :].encode()}
