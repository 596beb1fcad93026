"""What a request asks for, within bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.camera.looking.lookout import Lookout
from edgekit.camera.runtime import Camera

if TYPE_CHECKING:
    from starlette.requests import Request


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
