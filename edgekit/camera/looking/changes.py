"""What a camera's loop takes at a reload, between two frames."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from edgekit.camera.looking.held_model import HeldModel
from edgekit.camera.rules import Rules
from edgekit.camera.source.feed.base import Feed


@dataclass(frozen=True, eq=False)
class Change:
    """What a camera looks at, by and with from its next frame on; `Lookout.change_of` makes one."""

    rules: Rules
    feed: Feed
    model: HeldModel


class Changes:
    """The newest change that waits for a loop; its model is held until the loop, or a newer change, has it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted: Change | None = None
        self._making = False

    def put(self, change: Change) -> None:
        """From any thread."""
        change.model.hold()
        with self._lock:
            before, self._wanted = self._wanted, change
        if before is not None:  # a loop that hangs had not taken it yet
            before.model.release()

    @property
    def pending(self) -> bool:
        """Whether one waits for the loop, or is being made."""
        with self._lock:
            return self._making or self._wanted is not None

    @contextmanager
    def taken(self) -> Iterator[Change | None]:
        """The one that waits, for the loop to make; None where none does."""
        with self._lock:
            change, self._wanted = self._wanted, None
            self._making = change is not None
        try:
            yield change
        finally:
            self._making = False
