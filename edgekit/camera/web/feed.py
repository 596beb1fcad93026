"""Events in the order of their numbers, for a program that asks again and again what is new."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from edgekit.camera.store.reader import Reader

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_MOST = 500
_LARGEST = 2**63 - 1


class FeedAnswers:
    """Answers /api/events.

    Args:
        reader: of the store; None: nothing is kept, and there is nothing to read.
    """

    def __init__(self, reader: Reader | None) -> None:
        self._reader = reader

    async def events(self, request: Request) -> Response:
        """`{"events": [...], "after": N}`: those after number `after`, and with which one to ask next time."""
        from starlette.responses import JSONResponse

        asked = request.query_params
        after, limit = _number(asked.get("after"), 0, _LARGEST), _number(asked.get("limit"), 100, _MOST)
        if after is None or limit is None or limit < 1:
            return JSONResponse({"error": f"after is a number of an event, limit 1 to {_MOST}"}, 400)
        if self._reader is None:
            return JSONResponse({"events": [], "after": after})
        last, events = await asyncio.to_thread(self._reader.events, after, limit)
        return JSONResponse({"events": events, "after": last})


def _number(text: str | None, otherwise: int, most: int) -> int | None:
    """None for what is no number, negative or too large."""
    if text is None:
        return otherwise
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= most else None
