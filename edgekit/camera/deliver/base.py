"""What every way out of the box is: a small class that takes events, one message of plain data at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edgekit.camera.config import CameraConfig
from edgekit.camera.problems import Say
from edgekit.camera.store.pending.outbox import Outbox
from edgekit.config.tables import Table
from edgekit.vision.image import Frame

Event = dict[str, Any]
"""One message: plain data with text keys, as JSON has it (docs/camera.md lists them)."""


class DeliveryEnded(Exception):  # noqa: N818 - it is over, and the rest goes on
    """Raised by a delivery that can never go on; its text is said once, and the delivery is not called again."""


@dataclass(frozen=True)
class CameraNow:
    """How one camera is now, for those who show it.

    Attributes:
        name: as in its events.
        ready: whether an insect that comes would be seen and told of; where not, `why`.
        state: of its source: online, dark, offline, ...
        counts: of each label that makes visits how many are seen now.
        level: of all hornets now, as `edgekit.camera.events.levels` has it.
        enabled: whether it watches; a switch can turn that off.
    """

    name: str
    ready: bool
    why: str
    state: str
    counts: Mapping[str, int]
    level: str
    enabled: bool = True


def nowhere(camera: str, on: bool) -> None:
    """Nobody can be switched on or off."""


def no_update(package: bytes) -> None:
    """No model comes as a message."""


@dataclass(frozen=True)
class Setup:
    """What a delivery is made from.

    Attributes:
        config: the camera's; `store.folder` is where every event is a row before a delivery is told of it, so that one
            that must lose nothing can read them again, in the order of `seq` (edgekit.camera.store.reader).
        patient: whether `deliver` may wait for a slow consumer, as for a file's events; a live camera waits for nobody.
        fps: of the annotated frames, a second; known once the source is open.
        outbox: where events wait for deliveries that lose nothing.
        say: takes lines for people.
        cameras: how each is now; asked from any thread.
        switch: makes a camera, by its name, watch or not; called from any thread.
        update: takes a signed model as bytes, soon and in a thread of its own; called from any thread.
    """

    config: CameraConfig
    patient: bool
    fps: Callable[[], float]
    outbox: Outbox = field(default_factory=Outbox)
    say: Say = print
    cameras: Callable[[], Sequence[CameraNow]] = tuple
    switch: Callable[[str, bool], None] = nowhere
    update: Callable[[bytes], object] = no_update


class Delivery(ABC):
    """A way out of the box.

    All calls come from the output's one thread, so none may take long. What a call raises is counted, told under
    `name`, and costs the others nothing.

    Attributes:
        name: for messages, status and metrics.
        Keys: the table of the keys below [deliver.NAME]; None where other keys switch it on.
        problem: why nothing can be delivered now, or nothing; for one that holds events back by itself.
        waiting, lost: messages that it holds back now, and that it took and nobody ever got.
        delivered: messages that arrived, where it counts them itself.
    """

    name: str
    Keys: type[Table] | None = None
    problem = ""
    waiting = 0
    lost = 0
    delivered: int | None = None

    @classmethod
    @abstractmethod
    def wanted(cls, setup: Setup, keys: Any) -> Delivery | None:
        """The delivery, or None where the configuration does not ask for it.

        Args:
            keys: a `Keys`, checked; None where there is no [deliver.NAME].

        Raises:
            EdgekitError: it cannot be used as it is configured.
        """

    @abstractmethod
    def deliver(self, event: Event) -> None:
        """Takes one event, a copy of its own. Raises whatever went wrong, or `DeliveryEnded`."""

    def start(self) -> None:  # noqa: B027
        """The run begins; before it nothing is sent and no thread started."""

    def wants(self, event: Event) -> bool:
        """Whether the store has to hold this event until the delivery took it. Asked once of each event, in order."""
        return False

    def flush(self) -> None:  # noqa: B027 - most hold nothing back
        """Called after every frame, and every second without one: the time to go on with what waits."""

    def end(self) -> None:  # noqa: B027
        """The run is over; `close` follows once all deliveries know."""

    def close(self) -> None:  # noqa: B027
        """The run is over. What waits is delivered soon or counted as lost."""


class FrameDelivery(Delivery):
    """One that is shown the annotated frames, and no events."""

    @abstractmethod
    def show(self, frame: Frame, at: float) -> None:
        """Takes a frame, uint8 [h, w, 3] BGR, of scene time `at`, seconds. Raises as `deliver`."""

    def deliver(self, event: Event) -> None:
        """What happened is drawn on the frames already."""
