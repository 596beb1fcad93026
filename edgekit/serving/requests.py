"""What a request may be: from the page itself, JSON, and of a bearable length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from edgekit.reading import load_json

if TYPE_CHECKING:
    from starlette.requests import Request

BODY = 1_000_000  # bytes; 2,000 boxes take 200,000


class RefusedRequestError(Exception):
    """A request that gets `status` and no more than a sentence."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


async def read_request(request: Request, most: int = BODY) -> dict[str, Any]:
    """The object that a request brings.

    A form or script of another site can send to this machine, though it cannot read the answer. Browsers say where such
    a request comes from (Origin, Sec-Fetch-Site), and let none call itself JSON without asking here first.

    Args:
        most: bytes.

    Raises:
        RefusedRequestError: 403 from another site, 415 no JSON by its header, 413 too long, 400 no JSON object.
    """
    headers = request.headers
    origin, site = headers.get("origin"), headers.get("sec-fetch-site", "same-origin")
    hosts = (headers.get("host"), headers.get("x-forwarded-host"))  # that of a proxy: no form can say it
    if site not in ("same-origin", "none") or (origin is not None and _host(origin) not in hosts):
        raise RefusedRequestError(403, "this comes from another page")
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise RefusedRequestError(415, "not application/json")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise RefusedRequestError(413, f"longer than {most} bytes")
    try:
        given = load_json(bytes(body))
    except ValueError as error:
        raise RefusedRequestError(400, f"not JSON: {error}"[:300]) from error
    if not isinstance(given, dict):
        raise RefusedRequestError(400, "not an object")
    return given


def whole(given: dict[str, Any], key: str) -> int:
    """A whole number of 0 or more. Raises RefusedRequestError, 400."""
    value = given.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**53:
        raise RefusedRequestError(400, f"{key} is no whole number")
    return value


def _host(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""
