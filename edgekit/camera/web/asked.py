"""What a request asks for, within bounds, and the answer to one that keeps something."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any

from edgekit.camera.looking.lookout import Lookout
from edgekit.camera.runtime import Camera
from edgekit.errors import OutputError, UsageError
from edgekit.serving.requests import RefusedRequestError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


def number(request: Request, name: str, otherwise: int) -> int:
    """A whole number of 1 to 99999 from a query; `otherwise` where it has none."""
    text = request.query_params.get(name)
    return max(1, int(text)) if text and text.isdecimal() and text.isascii() and len(text) < 6 else otherwise


def named(request: Request) -> str:
    """The camera that `?camera=` names, which may be one of former times; nothing for all."""
    return request.query_params.get("camera", "")


def chosen(request: Request, camera: Camera) -> Lookout:
    """The camera that `?camera=` names, or the first. Raises starlette's HTTPException, 404."""
    from starlette.exceptions import HTTPException

    name = named(request)
    found = camera.lookouts.get(name) if name else camera.lookout
    if found is None:
        raise HTTPException(404, "no such camera")
    return found


async def answered(kept: Awaitable[Mapping[str, Any]]) -> Response:
    """What was kept; or why nothing was: with the request's own status, 400 for what cannot be, 507 for a full disk."""
    from starlette.responses import JSONResponse

    try:
        return JSONResponse(await kept)
    except RefusedRequestError as error:
        return JSONResponse({"error": str(error)}, error.status)
    except UsageError as error:
        return JSONResponse({"error": str(error)}, 400)
    except OutputError as error:  # which the page says
        return JSONResponse({"error": str(error)}, 507)
