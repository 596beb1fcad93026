"""How the camera is doing: for the page, for Prometheus and for supervisors."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from edgekit.camera.looking.lookout import Lookout
from edgekit.camera.runtime import Camera
from edgekit.camera.web.asked import chosen
from edgekit.camera.web.encoder import ClipEncoder
from edgekit.camera.web.metrics import exposition

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

Updated = Callable[[], Mapping[str, str]]  # outcome (trial, kept, returned, refused), model, why, at; or nothing


class StatusAnswers:
    """Answers about the camera itself.

    Args:
        encoder: what clips can be played as.
        updated: what came of the last update of the model.
    """

    def __init__(self, camera: Camera, encoder: ClipEncoder, updated: Updated = dict) -> None:
        self._camera, self._encoder, self._updated = camera, encoder, updated

    async def status(self, request: Request) -> Response:
        """The first camera's, or that which `?camera=` names, with `cameras`: that of each."""
        from starlette.responses import JSONResponse

        config = self._camera.config
        cameras = [told(lookout) for lookout in self._camera.lookouts.values()]
        store = {"kept": config.store.folder is not None}
        parts = self._camera.watcher.status()
        whole = {
            "device": config.device,
            "parts": parts,
            "update": await asyncio.to_thread(self._updated),
            "store": store,
            "video": await asyncio.to_thread(self._encoder.kind),
        }
        return JSONResponse({**whole, **told(chosen(request, self._camera)), "cameras": cameras})

    async def metrics(self, _: Request) -> Response:
        from starlette.responses import Response

        cameras = {name: lookout.health.status() for name, lookout in self._camera.lookouts.items()}
        body, kind = await asyncio.to_thread(exposition, self._camera.config.device, cameras)
        return Response(body, headers={"Content-Type": kind})

    async def livez(self, _: Request) -> Response:
        from starlette.responses import PlainTextResponse

        alive, why = self._camera.alive()
        return PlainTextResponse("alive" if alive else why, 200 if alive else 503)

    async def readyz(self, _: Request) -> Response:
        from starlette.responses import PlainTextResponse

        ready, why = self._camera.ready()
        return PlainTextResponse("ready" if ready else why, 200 if ready else 503)


def told(camera: Lookout) -> dict[str, Any]:
    """Of one camera: its status, what is there now, and how old its newest frame is.

    `watching` is less than `ready`: an insect that comes is seen and told of, though not all of it may be kept.
    """
    status, age = camera.health.status(), camera.view.age
    trouble = status["output"]["trouble"]
    return {
        "camera": camera.config.camera,
        "labels": list(camera.classes),
        "open": [{"label": v.label, "count": v.count} for v in camera.visits],
        "now": camera.counts.lately.told(),
        "watching": status["ready"] or (bool(trouble) and status["why"] == trouble),
        "frame_age": None if age is None else round(age, 3),
        **status,
    }
