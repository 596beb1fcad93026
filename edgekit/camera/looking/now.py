"""How a camera is now, for those who show it."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.camera.deliver.base import CameraNow
from edgekit.camera.events.absence import WELL
from edgekit.camera.events.levels import level_of_all
from edgekit.camera.looking.lookout import Lookout


def now_of(lookout: Lookout) -> CameraNow:
    """From any thread. What is not looked at is not there: of a lost camera all counts are 0."""
    ready, why = lookout.health.ready()
    state = lookout.feed.state()
    labels = lookout.config.visits.labels or lookout.classes
    seen = lookout.seen if state in WELL and lookout.health.watching else {}
    counts = {label: seen.get(label, 0) for label in labels}
    return CameraNow(lookout.name, ready, why, state, counts, level_of_all(counts), lookout.health.watching)


def all_well(answers: Sequence[tuple[str, bool, str]]) -> tuple[bool, str]:
    """Of (name, whether it is well, why not): whether all are, and why not, by name where there are several."""
    wrong = [why if len(answers) == 1 else f"{name}: {why}" for name, well, why in answers if not well]
    return not wrong, "; ".join(wrong)
