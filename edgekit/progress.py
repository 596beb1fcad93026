"""How far something is that takes a while: rooms count, and whoever listens tells it; without one it costs nothing.

A context variable holds the listener, so counting in a thread of its own, or in a library's user's program, is silent.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sized
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol, TypeVar

T = TypeVar("T")


@dataclass(eq=False)
class Work:
    """Something that is under way.

    Attributes:
        what: in words, such as `decoding pictures`.
        total: of what it counts; None where nobody knows.
        done: so many of them.
        detail: what is told beside it, such as the loss.
        elsewhere: somebody else tells of it and of all in it.
    """

    what: str
    total: int | None
    done: int = 0
    detail: str = ""
    elsewhere: bool = False

    def step(self, count: int = 1, detail: str | None = None) -> None:
        """So many more are done."""
        self.done += count
        if detail is not None:
            self.detail = detail
        listener = _LISTENER.get()
        if listener is not None:
            listener.moved()


class Listener(Protocol):
    """Told of work; the innermost began last."""

    def begun(self, work: Work) -> None: ...

    def moved(self) -> None: ...

    def ended(self, work: Work) -> None: ...

    def clear(self) -> None:
        """Something else is about to be written."""


_LISTENER: ContextVar[Listener | None] = ContextVar("edgekit_progress", default=None)


@contextlib.contextmanager
def listening(listener: Listener | None) -> Iterator[None]:
    """Within it `listener` is told of what this thread does."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


@contextlib.contextmanager
def working(what: str, total: int | None = None, *, elsewhere: bool = False) -> Iterator[Work]:
    """For what is no loop over something: `step` of what it gives counts."""
    work = Work(what, total, elsewhere=elsewhere)
    listener = _LISTENER.get()
    if listener is None:
        yield work
        return
    listener.begun(work)
    try:
        yield work
    finally:
        listener.ended(work)


def track(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """`items`, of which each is done when the next one is asked for.

    Args:
        total: of what has no length.
    """
    if _LISTENER.get() is None:
        yield from items
        return
    if total is None and isinstance(items, Sized):
        total = len(items)
    with working(what, total) as work:
        for item in items:
            yield item
            work.step()


def clear() -> None:
    """Before something is written that is no progress."""
    listener = _LISTENER.get()
    if listener is not None:
        listener.clear()
