"""The files of the page, and the headers of every answer."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

from edgekit.serving.headers import security_headers

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

PARTS = {
    "page.html": "text/html",
    "page.css": "text/css",
    "page.js": "text/javascript",
    "talk.js": "text/javascript",
    "now.js": "text/javascript",
    "visits.js": "text/javascript",
    "chart.js": "text/javascript",
    "zones.js": "text/javascript",
}


@lru_cache(maxsize=len(PARTS))
def part_text(name: str) -> str:
    """One of `PARTS`, as it is installed."""
    return files("edgekit.camera.web").joinpath(name).read_text(encoding="utf-8")


async def answer_part(request: Request) -> Response:
    """A file of the page. A browser may keep it and asks each time whether it is still the same: 304 says so."""
    from starlette.responses import PlainTextResponse, Response

    name = request.path_params.get("part", "page.html")
    if name not in PARTS:
        return PlainTextResponse("no such page", 404)
    text = part_text(name)
    headers = {"cache-control": "no-cache", "etag": f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'}
    if headers["etag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(text, media_type=PARTS[name], headers=headers)


def page_headers() -> dict[str, str]:
    """On every answer: scripts and styles are this page's own files, none stands in its HTML. What may be kept by a
    browser is said by each answer, see `Uncached`."""
    headers = security_headers()
    del headers["cache-control"]
    return headers
