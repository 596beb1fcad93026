"""The parts of a running camera, each with its own progress."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from edgekit.camera.deliver.queued.queued import QueuedDelivery
from edgekit.camera.event_writer import EventWriter
from edgekit.camera.looking.lookout import Lookout
from edgekit.camera.source.feed.base import Feed
from edgekit.camera.source.feed.live import LiveFeed
from edgekit.camera.watch.part import Part

_TRIES = 5  # of a delivery, whose receiver may be at fault


def cameras_of(lookouts: Mapping[str, Lookout], renew_model: Callable[[str], None]) -> list[Part]:
    """Of each live camera its capture, and the model's looks at its frames."""
    parts = []
    for name, lookout in lookouts.items():
        called = f" of {name}" if len(lookouts) > 1 else ""
        if lookout.feed.live:
            parts += [
                Part(f"capture{called}", partial(_capture, lookout), partial(_renew, lookout), 0.0, None),
                Part(f"model{called}", partial(_model, lookout), partial(renew_model, name)),
            ]
    return parts


def outputs_of(writer: EventWriter) -> list[Part]:
    """The thread that writes, and those of the deliveries that have one."""
    deliveries = [
        Part(f"delivery {one.name}", partial(_delivery, one), one.renew, one.longest, _TRIES) for one in writer.queued
    ]
    return [Part("writer", partial(_writer, writer), writer.renew), *deliveries]


def _capture(lookout: Lookout) -> tuple[float, str]:
    hangs = _hangs(lookout.feed)
    return hangs, f"the source has not answered for {hangs:.0f} s"


def _hangs(feed: Feed) -> float:
    return feed.hangs_for if isinstance(feed, LiveFeed) else 0.0


def _renew(lookout: Lookout) -> None:
    assert isinstance(lookout.feed, LiveFeed)
    lookout.feed.renew()


def _model(lookout: Lookout) -> tuple[float, str]:
    looks, health = lookout.looks_for, lookout.health
    if looks or not health.failing_for:
        return looks, f"a look has taken {looks:.0f} s"
    return health.failing_for, f"it fails: {health.model_problem}"


def _writer(writer: EventWriter) -> tuple[float, str]:
    if writer.dead:
        return float("inf"), "its thread has ended"
    stuck = writer.stuck_for
    return stuck, f"it has been at one frame for {stuck:.0f} s"


def _delivery(delivery: QueuedDelivery) -> tuple[float, str]:
    if not delivery.alive:
        return (0.0, "") if delivery.ending else (float("inf"), "its thread has ended")
    return delivery.stuck_for, f"it has been at one call for {delivery.stuck_for:.0f} s"
