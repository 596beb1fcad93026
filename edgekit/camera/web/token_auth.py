"""Who may see the page: everybody on this machine, and from outside who has the token."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote

from edgekit.camera.config import WebConfig
from edgekit.camera.source.uri import expand
from edgekit.camera.web.throttle import LONGEST, TokenThrottle
from edgekit.errors import UsageError

COOKIE = "edgekit-camera"
OPEN = ("/livez", "/readyz", "/login")  # what supervisors ask; says no more than yes, no and why
_MACHINE = Path("/etc/machine-id")


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


class TokenAuth:
    """ASGI middleware. Takes the token as `Authorization: Bearer`, once as `?token=`, or as the cookie that gives.

    Without a token only requests to a loopback name are served: a foreign page that makes a browser ask here under
    its own name (DNS rebinding) gets nothing. Tokens are looked at as `TokenThrottle` lets them; a cookie is made with
    what only this machine knows, so that guessing one is hopeless, and who has one is never kept waiting.
    """

    def __init__(self, app: Any, token: str | None) -> None:
        self._app, self._token = app, token
        self._pass = hmac.new(_secret(), f"edgekit page {token}".encode(), hashlib.sha256).hexdigest() if token else ""
        self._throttle = TokenThrottle()

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
        asked, borne = query.get("token", [""])[0], _bearer(headers)
        if scope["path"] in OPEN:
            await self._app(scope, receive, send)
        elif self._has_cookie(headers):
            await (self.welcome(send, _without_token(scope, query)) if asked else self._app(scope, receive, send))
        elif not asked and not borne:
            await _answer(send, 401, LOGIN, HTML)
        else:
            found = await self._throttle.look(_address(scope), lambda: self._right(asked) or self._right(borne))
            if not found:
                await self._refuse(send, found, LOGIN)
            elif asked:
                await self.welcome(send, _without_token(scope, query))
            else:
                await self._app(scope, receive, send)

    async def login(self, token: str, scope: Any, send: Any) -> None:
        """Answers a form with a token."""
        found = self._token is not None and await self._throttle.look(_address(scope), lambda: self._right(token))
        if found:
            await self.welcome(send, "/")
        else:
            await self._refuse(send, found, LOGIN.replace("<!--wrong-->", "That is not the token."))

    async def welcome(self, send: Any, to: str) -> None:
        cookie = f"{COOKIE}={self._pass}; HttpOnly; SameSite=Strict; Path=/; Max-Age=31536000"
        path = "/" + to.lstrip("/\\")  # never to another host
        headers = [(b"location", path.encode()), (b"set-cookie", cookie.encode())]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async def _refuse(self, send: Any, found: bool | None, page: str) -> None:
        if found is None:
            again = (b"retry-after", str(round(LONGEST)).encode())
            await _answer(send, 429, "too many wrong tokens from this address: wait a little", TEXT, again)
        else:
            await _answer(send, 401, page, HTML)

    def _right(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(), (self._token or "").encode())

    def _has_cookie(self, headers: dict[str, str]) -> bool:
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            return False
        return cookie is not None and hmac.compare_digest(cookie.value.encode(), self._pass.encode())


def _secret() -> bytes:
    """The machine's id, which systemd wants to be kept to itself and hashed before use; without one a new secret, and
    who was let in must come with the token again after a restart."""
    try:
        found = _MACHINE.read_bytes().strip()
    except OSError:
        found = b""
    return found if len(found) >= 32 else secrets.token_bytes(32)


def _address(scope: Any) -> str:
    return scope["client"][0] if scope.get("client") else ""


def _bearer(headers: dict[str, str]) -> str:
    scheme, _, value = headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else ""


def _without_token(scope: Any, query: dict[str, list[str]]) -> str:
    """The address that was asked for, as it goes into a header."""
    kept = [(k, v) for k, values in query.items() if k != "token" for v in values]
    rest = "&".join(f"{quote(k)}={quote(v)}" for k, v in kept)
    return quote(scope["path"]) + (f"?{rest}" if rest else "")


TEXT, HTML = b"text/plain; charset=utf-8", b"text/html; charset=utf-8"


async def _answer(send: Any, status: int, text: str, kind: bytes = TEXT, *more: tuple[bytes, bytes]) -> None:
    headers = [(b"content-type", kind), *more]
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
