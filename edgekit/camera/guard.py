"""Who may see the page: everybody on this machine, and from outside who has the token."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import secrets
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, quote

from edgekit.camera.config import WebConfig
from edgekit.camera.uri import expand
from edgekit.errors import UsageError

COOKIE = "edgekit-camera"
OPEN = ("/livez", "/readyz", "/login")  # what supervisors ask; says no more than yes, no and why
_SLOW = 0.5  # seconds that a wrong token costs


def check_web(config: WebConfig) -> str | None:
    """The token, or None where the page is this machine's own.

    Raises:
        UsageError: it listens wider and has no token of 16 characters or more.
    """
    token = expand(config.token) if config.token else None
    if is_loopback(config.host) and token is None:
        return None
    if token is None or len(token) < 16:
        raise UsageError(
            f"A page on {config.host} can be reached from outside and needs a token.",
            got="none" if token is None else f"{len(token)} characters",
            expected="web.token of 16 characters or more",
            fix=f'token = "{secrets.token_urlsafe(24)}" below [web], or host = "127.0.0.1"',
        )
    return token


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Guard:
    """ASGI middleware. Takes the token as `Authorization: Bearer`, once as `?token=`, or as the cookie that gives.

    Without a token only requests to a loopback name are served: a foreign page that makes a browser ask here under
    its own name (DNS rebinding) gets nothing.
    """

    def __init__(self, app: Any, token: str | None) -> None:
        self._app, self._token = app, token
        self._pass = hashlib.sha256(f"edgekit page {token}".encode()).hexdigest() if token else ""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        if self._token is None:
            host = headers.get("host", "")
            name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
            if is_loopback(name):
                await self._app(scope, receive, send)
            else:
                await _answer(send, 421, "this page answers to localhost only")
            return
        query = parse_qs(scope["query_string"].decode("latin-1"))
        given = query.get("token", [""])[0]
        if given and self._right(given):
            kept = [(k, v) for k, values in query.items() if k != "token" for v in values]
            rest = "&".join(f"{quote(k)}={quote(v)}" for k, v in kept)
            await self.welcome(send, scope["path"] + (f"?{rest}" if rest else ""))
        elif scope["path"] in OPEN or self._known(headers):
            await self._app(scope, receive, send)
        else:
            if given or "authorization" in headers:
                await asyncio.sleep(_SLOW)
            await _answer(send, 401, LOGIN, b"text/html; charset=utf-8")

    async def login(self, token: str, send: Any) -> None:
        """Answers a form with a token."""
        if self._token is not None and self._right(token):
            await self.welcome(send, "/")
        else:
            await asyncio.sleep(_SLOW)
            await _answer(send, 401, LOGIN.replace("<!--wrong-->", "That is not the token."), b"text/html")

    async def welcome(self, send: Any, to: str) -> None:
        cookie = f"{COOKIE}={self._pass}; HttpOnly; SameSite=Strict; Path=/; Max-Age=31536000"
        path = "/" + to.lstrip("/\\")  # never to another host
        headers = [(b"location", path.encode()), (b"set-cookie", cookie.encode()), (b"referrer-policy", b"no-referrer")]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    def _right(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(), (self._token or "").encode())

    def _known(self, headers: dict[str, str]) -> bool:
        scheme, _, value = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._right(value.strip()):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and hmac.compare_digest(cookie.value.encode(), self._pass.encode())


async def _answer(send: Any, status: int, text: str, kind: bytes = b"text/plain; charset=utf-8") -> None:
    headers = [(b"content-type", kind), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})


LOGIN = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>edgekit camera</title>
<style>body{font:16px system-ui,sans-serif;display:grid;place-items:center;min-height:90vh;margin:0;padding:1rem;
background:#14110d;color:#f4efe6}form{display:grid;gap:.75rem;width:min(20rem,100%)}input,button{font:inherit;
padding:.7rem;border-radius:.5rem;border:1px solid #5b4f3c;background:#211c15;color:inherit}
button{background:#e69f00;color:#14110d;border:0;font-weight:600}</style>
<form method="post" action="/login"><h1>edgekit camera</h1><label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button>Open</button><p role="alert"><!--wrong--></p></form></html>
"""
