"""Ctrl-C in a training: what runs is brought to where it can be saved, so that --resume goes on from there."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any


class Stopped(KeyboardInterrupt):
    """Ctrl-C, at a moment when everything in memory belongs together."""


class Interrupt:
    """Puts SIGINT off to the next `check`, while it is entered; the second one is a KeyboardInterrupt at once.

    Only in the main thread, and only where Ctrl-C does anything: a background job that ignores it goes on doing so.

    Args:
        active: False leaves SIGINT alone: of several processes one that stops keeps the others waiting for ever.
    """

    def __init__(self, *, active: bool = True) -> None:
        self._active = active and threading.current_thread() is threading.main_thread()
        self._asked = False
        self._harmless = False
        self._before: Any = None

    def __enter__(self) -> Interrupt:
        self._before = signal.getsignal(signal.SIGINT)
        self._active = self._active and self._before not in (None, signal.SIG_IGN)
        if self._active:
            signal.signal(signal.SIGINT, self._hear)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._active:
            signal.signal(signal.SIGINT, self._before)

    def check(self) -> None:
        """Raises Stopped where Ctrl-C was pressed since `__enter__`."""
        if self._asked:
            raise Stopped

    @contextlib.contextmanager
    def harmless(self) -> Iterator[None]:
        """While something long runs that changes nothing worth keeping: Stopped is raised in the middle of it."""
        self.check()
        self._harmless = True
        try:
            yield
        finally:
            self._harmless = False

    def _hear(self, signum: int, frame: FrameType | None) -> None:
        before, self._asked = self._asked, True  # also where something loses what is raised here
        if self._harmless:
            raise Stopped
        if before:
            raise KeyboardInterrupt
