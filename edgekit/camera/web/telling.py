"""How the camera is doing: for the page, for Prometheus and for supervisors."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from edgekit.camera.runtime import Camera
from edgekit.camera.web.metrics import exposition

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


class StatusAnswers:
    """Answers about the camera itself."""

    def __init__(self, camera: Camera) -> None:
        self._camera = camera

    async def status(self, _: Request) -> Response:
        from starlette.responses import JSONResponse

        config = self._camera.config
        open_now = [{"label": v.label, "count": v.count} for v in self._camera.visits]
        return JSONResponse(
            {
                "device": config.device,
                "camera": config.camera,
                "labels": list(self._camera.classes),
                "open": open_now,
                "store": {"kept": config.store.folder is not None},
                **self._camera.health.status(),
            }
        )

    async def metrics(self, _: Request) -> Response:
        from starlette.responses import Response

        labels = {"device": self._camera.config.device, "camera": self._camera.config.camera}
        body, kind = await asyncio.to_thread(exposition, self._camera.health.status, labels)
        return Response(body, headers={"Content-Type": kind})

    async def livez(self, _: Request) -> Response:
        from starlette.responses import PlainTextResponse

        alive, why = self._camera.health.alive()
        return PlainTextResponse("alive" if alive else why, 200 if alive else 503)

    async def readyz(self, _: Request) -> Response:
        from starlette.responses import PlainTextResponse

        ready, why = self._camera.health.ready()
        return PlainTextResponse("ready" if ready else why, 200 if ready else 503)
