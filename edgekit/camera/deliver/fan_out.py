"""Every event to every delivery. Each fails for itself: that is counted and told under its name, and the others lose
nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

from edgekit.camera.deliver.base import Delivery, DeliveryEnded, Event, FrameDelivery
from edgekit.camera.deliver.queued.queued import QueuedDelivery
from edgekit.camera.problems import Problems, Say, caught
from edgekit.screen import masked
from edgekit.vision.image import Frame


@dataclass
class _Outlet:
    delivery: Delivery
    taken: int = 0
    failed: int = 0
    raised: bool = False  # by the last message
    last_problem: str = ""
    ended: bool = False

    @property
    def arrived(self) -> int:
        delivery = self.delivery
        return self.taken - delivery.waiting - delivery.lost if delivery.delivered is None else delivery.delivered


class FanOut:
    """Calls the deliveries, from one thread. Nothing is raised.

    Args:
        say: takes lines for people.
    """

    def __init__(self, deliveries: Sequence[Delivery], say: Say) -> None:
        self._outlets = [_Outlet(delivery) for delivery in deliveries]
        self._say, self._problems = say, Problems(say)

    @property
    def takes_frames(self) -> bool:
        """Whether one of them is shown frames."""
        return any(isinstance(outlet.delivery, FrameDelivery) and not outlet.ended for outlet in self._outlets)

    @property
    def problem(self) -> str:
        """What cannot be delivered now, or nothing."""
        return self._problems.problem

    @property
    def names(self) -> tuple[str, ...]:
        """Of all deliveries."""
        return tuple(outlet.delivery.name for outlet in self._outlets)

    @property
    def queued(self) -> list[QueuedDelivery]:
        """Those with threads of their own."""
        return [o.delivery for o in self._outlets if isinstance(o.delivery, QueuedDelivery) and not o.ended]

    def start(self) -> None:
        """The run begins."""
        for outlet in self._outlets:
            self._call(outlet, outlet.delivery.start)

    def owed(self, event: Event) -> list[str]:
        """Names of the deliveries for which the store has to hold an event."""
        return [outlet.delivery.name for outlet in self._outlets if self._wants(outlet, event)]

    def deliver(self, event: Event) -> None:
        """An event to all, to each a copy of its own: what one changes in it the next does not see."""
        for outlet in self._outlets:
            if not isinstance(outlet.delivery, FrameDelivery):
                self._call(outlet, partial(outlet.delivery.deliver, deepcopy(event)), message=True)

    def show(self, frame: Frame, at: float) -> None:
        """An annotated frame, uint8 [h, w, 3] BGR of scene time `at`, to those that take frames."""
        for outlet in self._outlets:
            if isinstance(outlet.delivery, FrameDelivery):
                self._call(outlet, partial(outlet.delivery.show, frame, at), message=True)

    def flush(self) -> None:
        """Lets all go on with what waits."""
        for outlet in self._outlets:
            self._call(outlet, outlet.delivery.flush)

    def close(self) -> None:
        """The run is over."""
        for outlet in self._outlets:
            self._call(outlet, outlet.delivery.end)
        for outlet in self._outlets:
            self._call(outlet, outlet.delivery.close)

    def lost(self, name: str) -> int:
        """Messages that the delivery of this name took and nobody ever got."""
        return sum(outlet.delivery.lost for outlet in self._outlets if outlet.delivery.name == name)

    def status(self) -> list[dict[str, Any]]:
        """Of each its name, how many messages were delivered, failed and wait, and its last problem; plain data."""
        return [
            {
                "name": outlet.delivery.name,
                "delivered": outlet.arrived,
                "failed": outlet.failed + outlet.delivery.lost,
                "waiting": outlet.delivery.waiting,
                "last_problem": outlet.last_problem,
            }
            for outlet in self._outlets
        ]

    def _wants(self, outlet: _Outlet, event: Event) -> bool:
        wanted = [False]

        def ask() -> None:
            wanted[0] = outlet.delivery.wants(event)

        self._call(outlet, ask)
        return wanted[0]

    def _call(self, outlet: _Outlet, work: Callable[[], object], message: bool = False) -> None:
        if outlet.ended:
            return
        name, raised = outlet.delivery.name, ""
        try:
            raised = masked(caught(name, work, DeliveryEnded))  # what a broker says may quote a password
        except DeliveryEnded as error:
            outlet.ended, outlet.last_problem = True, masked(str(error))
            outlet.failed += 1
            self._problems.works(name)
            self._say(f"error: {outlet.last_problem}")
            return
        if message:
            outlet.raised = bool(raised)
            outlet.taken += not raised
            outlet.failed += bool(raised)
        problem = raised or outlet.delivery.problem
        outlet.last_problem = problem or outlet.last_problem
        if problem or message or not outlet.raised:  # a flush that went well does not mend a message that did not
            self._problems.note(name, problem)
