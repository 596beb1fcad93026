"""A page served in a thread of its own."""

from __future__ import annotations

import asyncio
import errno
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from edgekit.serving.connections import listening, make_server

_STOP = 3.0  # seconds
_BEAT = 0.5  # seconds
_AGAIN = 60.0  # seconds between two lines about connections that cannot be taken


class ServerThread:
    """Listens at once, and serves an ASGI application from `start` to `stop`.

    Args:
        app: the application.
        host, port: where; port 0 is any free one.
        headers: on every answer.
        name: of the thread.
        fix: what to do where the port is taken.
        say: takes lines for people.

    Raises:
        UsageError: the port is taken.
    """

    def __init__(
        self,
        app: Any,
        host: str,
        port: int,
        headers: Mapping[str, str],
        *,
        name: str,
        fix: str,
        say: Callable[[str], None],
    ) -> None:
        self._host, self._say, self._fix = host, say, fix
        self._told_at = float("-inf")
        self._socket = listening(host, port, fix)
        self.port = int(self._socket.getsockname()[1])
        self._app, self._headers = app, headers
        self._server = make_server(app, headers)
        self.loop: asyncio.AbstractEventLoop | None = None  # of the thread that serves
        self._beat_at = time.monotonic()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)

    @property
    def url(self) -> str:
        shown = f"[{self._host}]" if ":" in self._host else self._host
        wide = self._host in ("0.0.0.0", "::")  # noqa: S104 - only compared
        return f"http://{'localhost' if wide else shown}:{self.port}/"

    @property
    def stopping(self) -> bool:
        """Whether long answers should end."""
        return bool(self._server.should_exit)

    def start(self) -> None:
        self._beat_at = time.monotonic()
        self._thread.start()

    @property
    def stands_for(self) -> float:
        """Seconds since its loop last went round; infinite where the thread is dead."""
        if self.stopping:
            return 0.0
        return time.monotonic() - self._beat_at if self._thread.is_alive() else float("inf")

    def renew(self) -> None:
        """Serves in another thread, on the same port; one that hangs is left to itself.

        Raises:
            UsageError: the port is taken meanwhile.
        """
        self._server.should_exit = True
        self._socket.close()
        self._socket = listening(self._host, self.port, self._fix)
        self._server = make_server(self._app, self._headers)
        self._thread = threading.Thread(target=self._serve, name=self._thread.name, daemon=True)
        self.start()

    def stop(self) -> None:
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(_STOP)
        self._socket.close()

    def _serve(self) -> None:
        server, socket = self._server, self._socket

        async def beat() -> None:
            while server is self._server:
                self._beat_at = time.monotonic()
                await asyncio.sleep(_BEAT)

        async def serve() -> None:
            self.loop = asyncio.get_running_loop()
            self.loop.set_exception_handler(self._unhandled)
            beating = asyncio.create_task(beat())
            await server.serve(sockets=[socket])
            beating.cancel()

        try:
            asyncio.run(serve())
        except Exception as error:  # noqa: BLE001 - whoever watches starts another thread
            if server is self._server:
                self._say(f"error: the page's thread ended: {type(error).__name__}: {error}")

    def _unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """The loop goes on by itself; without descriptors it accepts again after a second."""
        error = context.get("exception")
        if not isinstance(error, OSError) or error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS):
            loop.default_exception_handler(context)
        elif time.monotonic() - self._told_at >= _AGAIN:
            self._told_at = time.monotonic()
            self._say(f"error: the page takes no connections now: {error.strerror}")
