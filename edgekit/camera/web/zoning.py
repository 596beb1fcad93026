"""The zones of a camera, as they are and as somebody draws them on its picture."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from edgekit.camera.config import Zone
from edgekit.camera.looking.lookout import Lookout
from edgekit.camera.runtime import Camera
from edgekit.camera.track.kept_zones import checked, write_drawn
from edgekit.camera.web.asked import chosen
from edgekit.errors import OutputError, UsageError
from edgekit.serving.requests import RefusedRequestError, read_request

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_BODY = 100_000  # bytes: 20 zones of 100 points of 40
_TAKEN = 5.0  # seconds that an answer waits for the camera's next frame


class ZoneAnswers:
    """Answers about zones.

    Args:
        camera: whose zones; it takes them from the store when it is reloaded.
    """

    def __init__(self, camera: Camera) -> None:
        self._camera = camera
        self._lock = asyncio.Lock()

    async def list(self, request: Request) -> Response:
        """The zones of a camera, and whether drawing others can be kept."""
        from starlette.responses import JSONResponse

        return JSONResponse(_told(chosen(request, self._camera)))

    async def draw(self, request: Request) -> Response:
        """Keeps {"zones": [{"name", "use", "points"}]}; `taken` says whether the camera goes by them already."""
        from starlette.responses import JSONResponse

        camera = chosen(request, self._camera)
        try:
            given = await read_request(request, _BODY)
            folder = camera.config.store.folder
            if folder is None:
                raise RefusedRequestError(409, "nothing is kept here: give store.folder a name")
            zones = checked(given)
            async with self._lock:
                await asyncio.to_thread(write_drawn, folder, camera.config.camera, zones)
                self._camera.reload(self._camera.config)
                taken = await _taken(camera, zones)
        except RefusedRequestError as error:
            return JSONResponse({"error": str(error)}, error.status)
        except UsageError as error:
            return JSONResponse({"error": str(error)}, 400)
        except OutputError as error:  # nothing was kept, and the page says so
            return JSONResponse({"error": str(error)}, 507)
        return JSONResponse({**_told(camera), "taken": taken})


def _told(camera: Lookout) -> dict[str, Any]:
    zones = [zone.model_dump(mode="json") for zone in camera.config.zones]
    return {"camera": camera.config.camera, "zones": zones, "kept": camera.config.store.folder is not None}


async def _taken(camera: Lookout, zones: tuple[Zone, ...]) -> bool:
    """Waits until the camera goes by these zones; whether it does in time."""
    wanted = [(zone.name, zone.use) for zone in zones]
    until = time.monotonic() + _TAKEN
    while time.monotonic() < until:
        if [(zone.name, zone.use) for zone in camera.config.zones] == wanted and not camera.changing:
            return True
        await asyncio.sleep(0.02)
    return False
