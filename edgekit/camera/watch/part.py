"""A part that is watched: how it is told that it stands still, and what starts it again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """One part of a camera.

    Attributes:
        name: as people are told it.
        standing: seconds that it has stood still, and why, in a few words; 0 and anything while it does what it
            should. Called every second, from any thread; never waits.
        restart: starts it again, in the watcher's thread; what it raises is a restart that failed.
        patience: seconds of standing still that are no reason yet.
        tries: restarts without any progress in between until it counts as failed; None where only a restart that
            raises does, as with a camera that is away: starting the process again would not bring it back.
    """

    name: str
    standing: Callable[[], tuple[float, str]]
    restart: Callable[[], None]
    patience: float = 8.0
    tries: int | None = 2
