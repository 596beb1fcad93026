"""A rate limit on wrong tokens, by address: guessing is slow, and other addresses are not kept waiting.

Starlette and uvicorn have none.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

FIRST, LONGEST = 0.5, 4.0  # seconds before a token is looked at, after one wrong one and after many
FORGIVEN = 600.0  # seconds without a wrong one
AT_ONCE, TOGETHER = 4, 32  # that wait, of an address and of all: each holds a connection
ADDRESSES = 1024  # that are remembered; who can use more has no need to guess slowly


@dataclass
class _Known:
    wrong: int = 0
    at: float = 0.0
    waiting: int = 0


class TokenThrottle:
    """Lets tokens be looked at. For one event loop.

    The wait is before the look, and the same for a right token as for a wrong one: else the answer that comes at once
    would be the right one, and many guesses at a time would cost no more than one. An address whose first token is
    right waits for nothing, however many guess from elsewhere.

    Args:
        sleep, clock: others in tests.
    """

    def __init__(
        self,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sleep, self._clock = sleep, clock
        self._known: OrderedDict[str, _Known] = OrderedDict()  # the latest wrong one last
        self._waiting = 0

    def __len__(self) -> int:
        return len(self._known)

    async def look(self, address: str, right: Callable[[], bool]) -> bool | None:
        """What `right` says, after a wait that grows with the address's wrong tokens.

        None, and `right` is not called, where too many requests wait already.
        """
        name = network_of(address)
        known = self._recent(name)
        if known is not None:
            if known.waiting >= AT_ONCE or self._waiting >= TOGETHER:
                return None
            known.waiting, self._waiting = known.waiting + 1, self._waiting + 1
            try:
                await self._sleep(min(LONGEST, FIRST * 2 ** (known.wrong - 1)))
            finally:
                known.waiting, self._waiting = known.waiting - 1, self._waiting - 1
        found = right()
        if not found:
            self._count(name)
        return found

    def _recent(self, name: str) -> _Known | None:
        known = self._known.get(name)
        if known is not None and not known.waiting and self._clock() - known.at > FORGIVEN:
            del self._known[name]
            return None
        return known

    def _count(self, name: str) -> None:
        known = self._known.setdefault(name, _Known())
        known.wrong, known.at = min(known.wrong + 1, 10), self._clock()
        self._known.move_to_end(name)
        while len(self._known) > ADDRESSES:
            self._known.popitem(last=False)


def network_of(address: str) -> str:
    """The address itself, or of IPv6 the /64, all of which one machine may have."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return str(ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)
