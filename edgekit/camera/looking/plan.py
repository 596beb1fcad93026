"""What a reload changes of a process's cameras, made before anything of it is taken."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edgekit.camera.config import CameraConfig
from edgekit.camera.detect.lookahead import streams_of
from edgekit.camera.looking.changes import Change
from edgekit.camera.looking.held_model import HeldModel
from edgekit.camera.looking.lookout import Lookout
from edgekit.camera.rules import Model

_TAKEN = 5.0  # seconds that a reload waits for the loops to take it


@dataclass(frozen=True, eq=False)
class Plan:
    """The model from now on, the same object where it stays, and the cameras of which something changes."""

    model: HeldModel
    changes: tuple[tuple[Lookout, Change], ...]

    def carry_out(self) -> None:
        """Gives each loop its change, and waits until they have it, a few seconds at most."""
        for lookout, change in self.changes:
            lookout.change(change)
        until = time.monotonic() + _TAKEN
        while any(one.changing and one.running for one, _ in self.changes) and time.monotonic() < until:
            time.sleep(0.01)


def plan(
    lookouts: Mapping[str, Lookout],
    model: HeldModel,
    before: CameraConfig,
    wanted: CameraConfig,
    each: Mapping[str, CameraConfig],
    open_model: Callable[[CameraConfig], Model],
) -> Plan:
    """A camera of which nothing changes is not in it; `each` are the cameras of `wanted` by name.

    Raises:
        Exception: whatever a model or source that cannot be opened raises, or rules that do not fit; nothing is
            changed, and a model that was opened is released.
    """
    old, changes = model, []
    try:
        if wanted.model != before.model or streams_of(wanted) != streams_of(before) or old.model.replaced():
            model = HeldModel(open_model(wanted))
        for name, lookout in lookouts.items():
            one = each.get(name, lookout.config)
            if model is not old or one != lookout.config:
                changes.append((lookout, lookout.change_of(one, model)))
    except BaseException:
        if model is not old:
            model.release()
        raise
    return Plan(model, tuple(changes))
