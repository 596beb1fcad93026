"""What a request asks for, within bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import Request


def number(request: Request, name: str, otherwise: int) -> int:
    """A whole number of 1 to 99999 from a query; `otherwise` where it has none."""
    text = request.query_params.get(name)
    return max(1, int(text)) if text and text.isdecimal() and text.isascii() and len(text) < 6 else otherwise
