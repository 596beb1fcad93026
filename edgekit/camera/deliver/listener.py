"""A Python function as a delivery: what `Camera(listeners=...)` takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgekit.camera.deliver.base import Delivery, Event, Setup

Listener = Callable[[Event], object]


class ListenerDelivery(Delivery):
    """Calls a function with each event.

    Args:
        name: listener 1, listener 2, ... in the order in which they were given.
    """

    def __init__(self, name: str, listener: Listener) -> None:
        self.name, self._listener = name, listener

    @classmethod
    def wanted(cls, setup: Setup, keys: Any) -> None:
        """No configuration names a function."""

    def deliver(self, event: Event) -> None:
        self._listener(event)
