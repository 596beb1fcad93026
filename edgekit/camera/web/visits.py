"""What the store holds of visits, for the page: the list, their files, and what is said of them."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit.artifacts.marks import read_marks, remove_mark, write_mark
from edgekit.camera.clock import iso
from edgekit.camera.store.reader import Reader
from edgekit.camera.web.asked import answered, named, number
from edgekit.camera.web.encoder import TYPES, ClipEncoder
from edgekit.camera.web.streams import Streams
from edgekit.serving.requests import RefusedRequestError, read_request

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_MARK = 4096  # bytes of what is said of a visit
_ID = re.compile(r"[0-9a-f-]{36}")
# suffix: key of an event
_FILES = {"jpg": "snapshot", "plain.jpg": "plain", "avi": "clip", "mjpg": "clip", **dict.fromkeys(TYPES, "clip")}


class VisitAnswers:
    """Answers about visits.

    Args:
        reader: of the store; None where nothing is kept.
        streams: plays clips.
        encoder: makes them into what browsers play.
    """

    def __init__(self, reader: Reader | None, streams: Streams, encoder: ClipEncoder) -> None:
        self._reader, self._streams, self._encoder = reader, streams, encoder

    async def list(self, request: Request) -> Response:
        """Visits, the newest first: `before` an id, `limit` so many, of a `label`, before a `camera`."""
        from starlette.responses import JSONResponse

        before, label = request.query_params.get("before", ""), request.query_params.get("label", "")
        limit = min(200, number(request, "limit", 30))
        if self._reader is None:
            return JSONResponse([])
        return JSONResponse(await asyncio.to_thread(_marked, self._reader, before, limit, label, named(request)))

    async def file(self, request: Request) -> Response:
        """`ID.jpg`, its best picture; `ID.plain.jpg`, that with nothing drawn on it; `ID.avi` and `ID.mjpg`, its clip
        as a file and as pictures that follow each other; `ID.mp4` or `ID.webm`, where an encoder is there."""
        from starlette.responses import FileResponse, PlainTextResponse

        ident, _, suffix = request.path_params["name"].partition(".")
        kind = _FILES.get(suffix)
        if self._reader is None or kind is None or not _ID.fullmatch(ident):
            return PlainTextResponse("no such file", 404)
        event = await asyncio.to_thread(self._reader.visit, ident)
        path = self._reader.folder / event[kind]["path"] if event and event.get(kind) else None
        if path is None or not path.is_file():
            return PlainTextResponse("no such file", 404)
        if suffix == "mjpg":
            return self._streams.clip(request, path)
        if suffix not in TYPES:
            return FileResponse(path)
        made = await self._encoder.encoded(path) if suffix == await asyncio.to_thread(self._encoder.kind) else None
        if made is None:
            return PlainTextResponse("no encoder makes that here", 503)
        return FileResponse(made, media_type=TYPES[suffix])

    async def mark(self, request: Request) -> Response:
        """Takes what a keeper says of a visit: {"verdict": "right" | "false" | "other" | null, "label": ...}."""
        return await answered(self._mark(request, request.path_params["ident"]))

    async def _mark(self, request: Request, ident: str) -> dict[str, Any]:
        given = await read_request(request, _MARK)
        if self._reader is None or not _ID.fullmatch(ident):
            raise RefusedRequestError(404, "no such visit")
        event = await asyncio.to_thread(self._reader.visit, ident)
        if event is None:
            raise RefusedRequestError(404, "no such visit")
        return {"mark": await asyncio.to_thread(_said, self._reader.folder, event, given)}


def _marked(reader: Reader, before: str, limit: int, label: str, camera: str) -> list[dict[str, Any]]:
    """Visits, each with what was said of it."""
    said = {mark.visit: mark.to_dict() for mark in read_marks(reader.folder)}
    return [{**visit, "mark": said.get(visit["id"])} for visit in reader.visits(before, limit, label, camera)]


def _said(store: Path, event: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any] | None:
    """Keeps the mark that a request brings, or takes it back where its verdict is null; what is said now.

    Args:
        store: the folder.
        event: the visit's.
        given: `verdict`, and with `other` a `label`.

    Raises:
        UsageError: no such verdict, or no label.
        OutputError: it cannot be kept.
    """
    verdict, label = given.get("verdict"), given.get("label")
    if verdict is None:
        remove_mark(store, event["id"])
        return None
    meant = label if isinstance(label, str) else None
    return write_mark(store, event, str(verdict), meant, iso(time.time())).to_dict()
