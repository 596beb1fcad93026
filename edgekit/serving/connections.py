"""A limit on connections to the page, and time-outs for those that send or read nothing.

uvicorn knows keep-alive and a limit above which every request is refused; a limit that a thousand silent connections
reach locks out the one that asks. Here they give way to it: whoever comes when all places are taken gets the place of
the connection that has waited longest without a whole request, of the address that holds most. Neither uvicorn nor
Starlette has a time-out for a request's header or for a reader that takes nothing, so both are here, on uvicorn's own
protocol class. Everything else of the page is Starlette's.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from edgekit.errors import UsageError

CONNECTIONS = 128  # a tenth of systemd's 1024 descriptors; 64 viewers and whoever asks
REQUEST = 10.0  # seconds until a request must be here whole, header and body
STUCK = 10.0  # seconds in which somebody who reads takes `_LEAST`
_LEAST = 16384  # bytes; less is a reader that holds its place and nothing else
ACCEPTED = 32  # connections taken before the first of them is looked at
QUEUE = 512  # that the kernel holds meanwhile: a connection that it drops comes again only after a second
_BUFFER = 131072  # bytes that the kernel takes for a reader that is behind; by itself it takes megabytes
_GONE = 30  # seconds until a reader whose machine went away is given up


class Connection(Protocol):
    """A connection."""

    @property
    def waiting(self) -> bool:
        """Whether it has no answer to come: nothing, or half a request, was said."""


class ConnectionLimit:
    """Who is connected from where. Not for more than one thread.

    Args:
        most: connections at a time.
    """

    def __init__(self, most: int = CONNECTIONS) -> None:
        self._most = most
        self._held: dict[Connection, str] = {}  # in the order they came

    def __len__(self) -> int:
        return len(self._held)

    def enter(self, connection: Connection, address: str) -> Connection | None:
        """Counts a connection in; the one to close, or None below the limit.

        To be closed is an idle one of the address that has most, or the new one where none is idle.
        """
        self._held[connection] = address
        if len(self._held) <= self._most:
            return None
        count = Counter(self._held.values())
        idle = (v for v in self._held if v is connection or v.waiting)
        out = max(idle, key=lambda v: count[self._held[v]])  # the first of equals: the oldest
        del self._held[out]
        return out

    def leave(self, connection: Connection) -> None:
        self._held.pop(connection, None)


def http_protocol(limit: ConnectionLimit, headers: Mapping[str, str]) -> Any:
    """uvicorn's HTTP/1.1 protocol with places and time-outs, a class for `uvicorn.Config(http=...)`.

    Args:
        headers: on the one answer that uvicorn gives without its configured ones: 400.
    """
    import h11
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class LimitedProtocol(H11Protocol):
        _late: asyncio.TimerHandle | None = None
        _stuck: asyncio.TimerHandle | None = None

        @property
        def waiting(self) -> bool:
            answered = self.cycle is None or self.cycle.response_complete
            return answered or self.conn.their_state is h11.SEND_BODY

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            _small_and_watched(transport.get_extra_info("socket"))
            self._watch()
            out = limit.enter(self, self.client[0] if self.client else "")
            if isinstance(out, LimitedProtocol):
                out.transport.abort()

        def connection_lost(self, exc: Exception | None) -> None:
            limit.leave(self)
            for timer in (self._late, self._stuck):
                if timer is not None:
                    timer.cancel()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._watch()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._reads_on(self.transport.get_write_buffer_size())

        def resume_writing(self) -> None:
            super().resume_writing()
            if self._stuck is not None:
                self._stuck.cancel()
                self._stuck = None

        def send_400_response(self, msg: str) -> None:
            told = "".join(f"{name}: {value}\r\n" for name, value in {"cache-control": "no-store", **headers}.items())
            body = f"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n{told}\r\n{msg}"
            self.transport.write(body.encode())
            self.transport.close()

        def _watch(self) -> None:
            """Starts or stops the time-out of a request that is not whole yet, however slowly its bytes come."""
            if not self.waiting or self.transport.is_closing():
                if self._late is not None:
                    self._late.cancel()
                    self._late = None
            elif self._late is None:
                self._late = self.loop.call_later(REQUEST, self.transport.abort)

        def _reads_on(self, before: int) -> None:
            """Closes the connection where, after a while, the reader took less than `_LEAST` of `before` bytes."""

            def look() -> None:
                now = self.transport.get_write_buffer_size()
                if before - now < _LEAST:
                    self.transport.abort()
                else:
                    self._reads_on(now)

            self._stuck = self.loop.call_later(STUCK, look)

    return LimitedProtocol


def make_server(app: Any, headers: Mapping[str, str]) -> Any:
    """uvicorn behind this door, for `serve(sockets=[...])`, with `headers` on every answer."""
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            # the backlog of the configuration is also how many asyncio accepts before it looks at one of them
            await super().startup(sockets=sockets)
            for link in sockets or ():
                link.listen(QUEUE)

    return Server(
        uvicorn.Config(app, log_level="critical", access_log=False, lifespan="off", server_header=False, ws="none",
                       timeout_graceful_shutdown=1, timeout_keep_alive=5, loop="asyncio", backlog=ACCEPTED,
                       http=http_protocol(ConnectionLimit(), headers), headers=list(headers.items()),
                       log_config=None)  # its own would close every log handler of this process, and their streams
    )  # fmt: skip


def listening(host: str, port: int, fix: str) -> socket.socket:
    """A socket that listens. Raises UsageError with `fix` where it cannot."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    link = socket.socket(family, socket.SOCK_STREAM)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        link.bind((host.strip("[]"), port))
        link.listen(QUEUE)
    except OSError as error:
        link.close()
        raise UsageError(
            f"The page cannot listen on {host} port {port}.", got=error.strerror or str(error), fix=fix,
        ) from error  # fmt: skip
    return link


def _small_and_watched(link: socket.socket | None) -> None:
    """A small buffer, so that who stops reading is noticed soon, and a look whether the other machine is there."""
    if link is None:
        return
    link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _options():
        if hasattr(socket, name):
            link.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _options() -> Iterator[tuple[str, int]]:
    yield "TCP_KEEPIDLE", _GONE
    yield "TCP_KEEPINTVL", _GONE // 3
    yield "TCP_KEEPCNT", 3
    yield "TCP_USER_TIMEOUT", _GONE * 1000
