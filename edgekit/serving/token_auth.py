"""Who may see the page: everybody on this machine, and from outside who has the token."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import secrets
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote, urlencode

from edgekit.errors import UsageError
from edgekit.screen import count_of
from edgekit.serving.throttle import LONGEST, TokenThrottle

if TYPE_CHECKING:
    from starlette.authentication import AuthCredentials, AuthenticationError, BaseUser
    from starlette.requests import HTTPConnection, Request
    from starlette.responses import Response

OPEN = ("/livez", "/readyz", "/login")  # what supervisors ask; says no more than yes, no and why
_MACHINE = Path("/etc/machine-id")
_YEAR = 31536000  # seconds
_BODY = 4096  # bytes of a form


def required_token(host: str, token: str | None, name: str, fix: str) -> str | None:
    """`token`, or None where a page on `host` is this machine's own.

    Args:
        name: what the token is called where it is given.
        fix: what to do about a missing one; `{token}` becomes a setting with a new one.

    Raises:
        UsageError: it listens wider and has no token of 16 characters or more.
    """
    if is_loopback(host) and token is None:
        return None
    if token is None or len(token) < 16:
        raise UsageError(
            f"A page on {host} can be reached from outside and needs a token.",
            got="none" if token is None else f"{count_of(len(token), 'character')}",
            expected=f"{name} of 16 characters or more",
            fix=fix.format(token=f'token = "{secrets.token_urlsafe(24)}"', value=secrets.token_urlsafe(24)),
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
    """Takes the token as `Authorization: Bearer`, once as `?token=`, or as the cookie that gives.

    It is the `backend` of Starlette's AuthenticationMiddleware, with `answered` as its `on_error`. Without a token only
    requests to a loopback name are served: a foreign page that makes a browser ask here under its own name (DNS
    rebinding) gets nothing. (Starlette's TrustedHostMiddleware takes names, no networks, and cuts an IPv6 address at
    its first colon.) Tokens are looked at as `TokenThrottle` lets them, which nothing of Starlette's or uvicorn's does;
    a cookie is made with what only this machine knows, so that guessing one is hopeless, and who has one is never kept
    waiting.
    """

    def __init__(self, token: str | None, name: str) -> None:
        self._token, self._name = token, name
        # a browser has one jar for all ports of a machine
        self._cookie = name.replace(" ", "-")
        self._pass = hmac.new(_secret(), f"edgekit page {token}".encode(), hashlib.sha256).hexdigest() if token else ""
        self._throttle = TokenThrottle()

    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser]:
        """Lets a request through, or raises AuthenticationError with the response that it gets instead."""
        from starlette.authentication import AuthCredentials, AuthenticationError, SimpleUser
        from starlette.responses import HTMLResponse, PlainTextResponse

        if self._token is None:
            host = conn.headers.get("host", "")
            if not is_loopback(host.rsplit(":", 1)[0] if not host.endswith("]") else host):
                raise AuthenticationError(PlainTextResponse("this page answers to localhost only", 421))
        elif conn.scope["path"] not in OPEN:  # not conn.url, which is made with whatever Host header was sent
            asked, borne = next(iter(conn.query_params.getlist("token")), ""), _bearer(conn)
            if not self._has_cookie(conn):
                form = self._form(conn.scope["path"])
                if not asked and not borne:
                    raise AuthenticationError(HTMLResponse(form, 401))
                found = await self._throttle.look(_address(conn), lambda: self._right(asked) or self._right(borne))
                if not found:
                    raise AuthenticationError(_refusal(found, form))
            if asked:
                raise AuthenticationError(self._welcome(_without_token(conn)))
        return AuthCredentials(["page"]), SimpleUser("keeper")

    async def login(self, conn: HTTPConnection, token: str) -> Response:
        """The answer to a form with a token."""
        found = self._token is not None and await self._throttle.look(_address(conn), lambda: self._right(token))
        return self._welcome("./") if found else _refusal(found, self._form("/login", "That is not the token."))

    async def login_form(self, request: Request) -> Response:
        """The answer to a request whose body is the form of the login."""
        from starlette.responses import PlainTextResponse

        body = b""  # Starlette's own forms need python-multipart, and have no limit for a form of one field
        async for chunk in request.stream():
            body += chunk
            if len(body) > _BODY:
                return PlainTextResponse("too long", 413)
        token = parse_qs(body.decode("latin-1")).get("token", [""])[0]
        return await self.login(request, token)

    def _form(self, path: str, wrong: str = "") -> str:
        """The form on a page of that path. Its address is relative: a proxy may show the page below another one."""
        there = "../" * max(0, path.count("/") - 1) + "login"
        form = LOGIN.replace("<!--name-->", self._name).replace("<!--wrong-->", wrong)
        return form.replace("<!--login-->", there)

    def _welcome(self, to: str) -> Response:
        from starlette.responses import RedirectResponse

        response = RedirectResponse(to, 303)
        response.set_cookie(self._cookie, self._pass, max_age=_YEAR, httponly=True, samesite="strict")
        return response

    def _right(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(), (self._token or "").encode())

    def _has_cookie(self, conn: HTTPConnection) -> bool:
        return hmac.compare_digest(conn.cookies.get(self._cookie, "").encode(), self._pass.encode())


def answered(_: HTTPConnection, error: AuthenticationError) -> Response:
    """The response that `TokenAuth.authenticate` raised with its error."""
    response: Response = error.args[0]
    return response


def _refusal(found: bool | None, page: str) -> Response:
    from starlette.responses import HTMLResponse, PlainTextResponse

    if found is None:
        again = {"retry-after": str(round(LONGEST))}
        return PlainTextResponse("too many wrong tokens from this address: wait a little", 429, again)
    return HTMLResponse(page, 401)


def _secret() -> bytes:
    """The machine's id, which systemd wants to be kept to itself and hashed before use; without one a new secret, and
    who was let in must come with the token again after a restart."""
    try:
        found = _MACHINE.read_bytes().strip()
    except OSError:
        found = b""
    return found if len(found) >= 32 else secrets.token_bytes(32)


def _address(conn: HTTPConnection) -> str:
    return conn.client.host if conn.client else ""


def _bearer(conn: HTTPConnection) -> str:
    scheme, _, value = conn.headers.get("authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" else ""


def _without_token(conn: HTTPConnection) -> str:
    """What was asked for, but for the token: relative to itself, so never on another host, and right below whatever
    address a proxy shows the page."""
    rest = urlencode(
        [(key, value) for key, value in conn.query_params.multi_items() if key != "token"], quote_via=quote
    )
    return "./" + quote(conn.scope["path"].rpartition("/")[2]) + (f"?{rest}" if rest else "")


_STYLE = """body{font:16px system-ui,sans-serif;display:grid;place-items:center;min-height:90vh;margin:0;padding:1rem;
background:#14110d;color:#f4efe6}form{display:grid;gap:.75rem;width:min(20rem,100%)}input,button{font:inherit;
padding:.7rem;border-radius:.5rem;border:1px solid #5b4f3c;background:#211c15;color:inherit}
button{background:#e69f00;color:#14110d;border:0;font-weight:600}"""
STYLE_HASH = f"'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'"  # for a CSP
LOGIN = f"""<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title><!--name--></title>
<style>{_STYLE}</style>
<form method="post" action="<!--login-->"><h1><!--name--></h1><label for="token">Token</label>
<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>
<button>Open</button><p role="alert"><!--wrong--></p></form></html>
"""
