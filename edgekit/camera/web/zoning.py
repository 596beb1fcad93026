"""The zones of a camera, as they are and as somebody draws them on its picture."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from edgekit.camera.config import Zone
from edgekit.camera.looking.lookout import Lookout
from edgekit.camera.runtime import Camera
from edgekit.camera.track.kept_zones import checked, read_drawn, write_drawn
from edgekit.camera.web.asked import answered, chosen
from edgekit.errors import UsageError
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
        """The zones of a camera, whether they were drawn, and whether drawing others can be kept."""
        from starlette.responses import JSONResponse

        return JSONResponse(_told(chosen(request, self._camera)))

    async def draw(self, request: Request) -> Response:
        """Keeps {"zones": [{"name", "use", "points"}]}, or with null forgets what was drawn; `taken` says whether the
        camera goes by that already."""
        return await answered(self._draw(request, chosen(request, self._camera)))

    async def _draw(self, request: Request, camera: Lookout) -> dict[str, Any]:
        given = await read_request(request, _BODY)
        folder, name = camera.config.store.folder, camera.config.camera
        if folder is None:
            raise RefusedRequestError(409, "nothing is kept here: give store.folder a name")
        zones = checked(given)
        async with self._lock:
            await asyncio.to_thread(write_drawn, folder, name, zones)
            self._camera.reload(self._camera.config)
            if zones is None:
                zones = next(one.zones for one in self._camera.config.each() if one.camera == name)
            taken = await _taken(camera, zones)
        return {**_told(camera), "taken": taken}


def _told(camera: Lookout) -> dict[str, Any]:
    zones = [zone.model_dump(mode="json") for zone in camera.config.zones]
    folder, name = camera.config.store.folder, camera.config.camera
    try:
        drawn = folder is not None and read_drawn(folder, name) is not None
    except UsageError:  # the log has it, and the configuration's zones count
        drawn = False
    return {"camera": name, "zones": zones, "kept": folder is not None, "drawn": drawn}


async def _taken(camera: Lookout, zones: tuple[Zone, ...]) -> bool:
    """Waits until the camera goes by these zones; whether it does in time."""
    wanted = [(zone.name, zone.use) for zone in zones]
    until = time.monotonic() + _TAKEN
    while time.monotonic() < until:
        if [(zone.name, zone.use) for zone in camera.config.zones] == wanted and not camera.changing:
            return True
        await asyncio.sleep(0.02)
    return False
