"""Ctrl-C: whatever moment it comes, a command ends with 130, unless it is one that is meant to end by it.

A KeyboardInterrupt is raised wherever Python happens to be, and that may be inside something that loses it. Seen while
`edgekit export` imported torch and pydantic, one time in forty: a module's initialization in C that clears the error
and goes on, so that the export ended well with 0; one that turns it into an error of its own (1); one that does not
expect it and crashes (-11). Python itself drops it in callbacks and destructors. So the signal is noted first of all;
it waits until an import is over; and what was noted is not forgotten. Only the standard library's quickest modules are
imported here, because until `guarded` runs Ctrl-C is the interpreter's own: a traceback, and death by SIGINT.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn

INTERRUPTED = 130
STOPPED = "Interrupted; nothing was left half written."
TOO_LATE = "Interrupted, but too late: everything was done already."
_SOON = 0.02  # seconds until it is tried again


class Interruption:
    """What became of Ctrl-C in this process.

    Attributes:
        heard: it was pressed, and no command has its own way with it.
    """

    def __init__(self) -> None:
        self.heard = False
        self._over = False
        self._thread = 0
        self._hook: Callable[[Any], object] = sys.unraisablehook

    def listen(self) -> None:
        """From now on SIGINT is heard here. A background job that ignores it goes on doing so."""
        self.heard = self._over = False
        if signal.getsignal(signal.SIGINT) in (None, signal.SIG_IGN):
            return
        signal.signal(signal.SIGINT, self._hear)
        signal.signal(signal.SIGALRM, self._again)
        self._thread, self._hook, sys.unraisablehook = _thread_id(), sys.unraisablehook, self._lost

    def end(self) -> None:
        """The command is over: all that Ctrl-C can change now is the exit code."""
        self._over = True

    def check(self) -> None:
        """Raises KeyboardInterrupt where one was heard and lost: nobody deals with one now, and the command goes on.

        In any thread but the main one it does nothing.
        """
        if self.heard and not self._over and _thread_id() == self._thread and not _dealt_with():
            raise KeyboardInterrupt

    def _hear(self, _: int, frame: FrameType | None) -> None:
        if self._over:
            os.write(2, f"error: {TOO_LATE}\n".encode())
            os._exit(INTERRUPTED)
        self.heard = True
        self._raise(frame)

    def _again(self, _: int, frame: FrameType | None) -> None:
        if self.heard and not self._over:
            self._raise(frame)

    def _raise(self, frame: FrameType | None) -> None:
        if not _imports(frame):
            raise KeyboardInterrupt
        signal.setitimer(signal.ITIMER_REAL, _SOON)

    def _lost(self, unraisable: Any) -> None:
        """Python calls this where it drops an exception: in a destructor, a weak reference's or a C library's call."""
        kind = unraisable.exc_type
        if self.heard and isinstance(kind, type) and issubclass(kind, KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, _SOON)
        else:
            self._hook(unraisable)


INTERRUPTION = Interruption()


def guarded(run: Callable[[], int]) -> NoReturn:
    """Ends the process with the exit code that `run` gives, or 130."""
    try:
        INTERRUPTION.listen()
        code = run()
    except KeyboardInterrupt:
        sys.stderr.write(f"error: {STOPPED}\n")
        code = INTERRUPTED
    finally:
        INTERRUPTION.end()
    sys.exit(code)


def _imports(frame: FrameType | None) -> bool:
    """Whether a module is being imported in this frame or one that called it, below `guarded`."""
    while frame is not None and frame.f_code is not guarded.__code__:
        if frame.f_code.co_filename.startswith("<frozen importlib._bootstrap"):
            return True
        frame = frame.f_back
    return False


def _dealt_with() -> bool:
    """Whether the caller is inside an `except` or `finally` that a KeyboardInterrupt led to."""
    error: BaseException | None = sys.exc_info()[1]
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__context__
    return False


def _thread_id() -> int:
    from threading import get_ident

    return get_ident()
