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
        self._host, self._say = host, say
        self._told_at = float("-inf")
        self._socket = listening(host, port, fix)
        self.port = int(self._socket.getsockname()[1])
        self._server = make_server(app, headers)
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
        self._thread.start()

    def stop(self) -> None:
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(_STOP)
        self._socket.close()

    def _serve(self) -> None:
        async def serve() -> None:
            asyncio.get_running_loop().set_exception_handler(self._unhandled)
            await self._server.serve(sockets=[self._socket])

        asyncio.run(serve())

    def _unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """The loop goes on by itself; without descriptors it accepts again after a second."""
        error = context.get("exception")
        if not isinstance(error, OSError) or error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS):
            loop.default_exception_handler(context)
        elif time.monotonic() - self._told_at >= _AGAIN:
            self._told_at = time.monotonic()
            self._say(f"error: the page takes no connections now: {error.strerror}")
