"""What the page's answers are made of."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from starlette.responses import Response


@lru_cache(maxsize=1)
def page_text() -> str:
    return files("edgekit.camera.web").joinpath("page.html").read_text(encoding="utf-8")


def security_headers() -> dict[str, str]:
    """On every answer. The page's own script is named by its hash, so that no other one runs."""
    scripts = re.findall(r"<script>(.*?)</script>", page_text(), re.DOTALL)
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    policy = {
        "default-src": "'self'",
        "script-src": " ".join(f"'sha256-{digest}'" for digest in hashes),
        "style-src": "'unsafe-inline'",
        "img-src": "'self' data:",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    return {
        "content-security-policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "cross-origin-resource-policy": "same-origin",
        "cache-control": "no-store",  # pictures of somebody's garden
    }


def part(jpeg: bytes) -> bytes:
    """One picture of a stream; browsers show it once the next boundary came."""
    return f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n".encode() + jpeg + b"\r\n"


def plain(text: str, status: int) -> Response:
    from starlette.responses import PlainTextResponse

    return PlainTextResponse(text, status)


def json_response(value: Any) -> Response:
    """Plain data as JSON, 200."""
    from starlette.responses import Response

    body = json.dumps(value, ensure_ascii=False)
    return Response(body, media_type="application/json")


class Raw:
    """An answer that writes itself."""

    def __init__(self, write: Any) -> None:
        self._write = write

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._write(scope, receive, send)
