"""Events as lines of JSON on stdout, for a consumer that may die, stop reading for a while, or come back to a FIFO.

Lines wait in memory meanwhile and follow in order. A live camera waits for nobody: a pipe is written to only as far as
it has room, so that a consumer that hangs holds up neither store nor page.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from collections import deque
from typing import Any

from edgekit.camera.deliver.base import Delivery, Event, Setup
from edgekit.screen import printable

_WAITING = 2000  # lines
_PIECE = 4096  # bytes that a pipe which has room takes at once (PIPE_BUF of pipe(7))
_LAST = 3.0  # seconds that the end waits for a slow consumer


class Lines(Delivery):
    """Writes events to stdout.

    Args:
        patient: whether `deliver` waits for a slow consumer, as for files.
    """

    name = "lines"

    def __init__(self, patient: bool) -> None:
        self._patient = patient
        self._lines: deque[bytes] = deque()
        self._written = 0  # bytes of the first one

    @classmethod
    def wanted(cls, setup: Setup, keys: Any) -> Lines | None:
        return cls(setup.patient) if setup.config.output.json_lines else None

    def deliver(self, event: Event) -> None:
        """One line, at once where that can be. Never raises."""
        self._lines.append((printable(json.dumps(event, ensure_ascii=False)) + "\n").encode("utf-8", "replace"))
        while len(self._lines) > _WAITING:
            del self._lines[1 if self._written else 0]  # not one that is half written
            self.lost += 1
        self.flush(float("inf") if self._patient else 0)

    def flush(self, seconds: float = 0) -> None:
        """Writes what waits, as long as somebody reads, or for so many seconds."""
        until = time.monotonic() + seconds
        try:
            while self._lines:
                self._write_some(until)
                if self._written >= len(self._lines[0]):
                    self._lines.popleft()
                    self._written = 0
            self.problem = ""
        except BlockingIOError:  # it reads slowly: no trouble until lines are lost
            self.problem = "nobody reads the lines on stdout" if len(self._lines) >= _WAITING else ""
        except (OSError, ValueError) as error:  # ValueError: stdout was closed in this process
            if isinstance(error, BrokenPipeError):
                self._written = 0  # who comes next gets whole lines
            self.problem = f"the lines on stdout cannot be written: {getattr(error, 'strerror', None) or error}"
        self.waiting = len(self._lines)

    def close(self) -> None:
        """Gives a slow consumer a last chance; what it doesn't take is lost."""
        self.flush(_LAST)
        self.lost += len(self._lines)
        self._lines.clear()
        self.waiting = 0

    def _write_some(self, until: float) -> None:
        line = self._lines[0]
        try:
            target = sys.stdout.fileno()
        except (OSError, ValueError, AttributeError):  # not a file: a test's, or a notebook's
            sys.stdout.write(line.decode())
            sys.stdout.flush()
            self._written = len(line)
            return
        poll = select.poll()
        poll.register(target, select.POLLOUT)
        left = max(0.0, until - time.monotonic())
        if not poll.poll(None if left == float("inf") else 1000 * left):
            raise BlockingIOError
        self._written += os.write(target, line[self._written : self._written + _PIECE])
