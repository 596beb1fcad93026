"""What came of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from edgekit.camera.event_writer import EventWriter
from edgekit.camera.health import Health
from edgekit.camera.source.feed.base import Counters


@dataclass(frozen=True)
class Summary:
    """What came of a run.

    Attributes:
        most_at_once: by label; of several cameras the most that one of them saw.
        age_p99_ms, inference_p50_ms: of several cameras the worst one's.
        not_kept: what was lost, or removed to make room, by kind.
        cameras: of several each one's by name, in which the output's figures are those of all.
    """

    seconds: float
    captured: int
    processed: int
    dropped: int
    broken: int
    unreadable: int
    inferred: int
    gated: int
    events: int
    visits: Mapping[str, int]
    most_at_once: Mapping[str, int]
    age_p99_ms: float | None
    inference_p50_ms: float | None
    not_kept: Mapping[str, int] = field(default_factory=dict)
    cameras: Mapping[str, Summary] = field(default_factory=dict)

    @property
    def fps(self) -> float:
        return self.processed / self.seconds if self.seconds else 0.0


def summarize(
    seconds: float, counters: Counters, health: Health, writer: EventWriter, most_at_once: Mapping[str, int]
) -> Summary:
    """The summary of a run that took so many seconds, from what its parts counted."""
    status = health.status()
    return Summary(
        seconds=seconds,
        captured=counters.captured,
        processed=counters.processed,
        dropped=counters.dropped,
        broken=counters.broken,
        unreadable=counters.unreadable,
        inferred=health.inferred,
        gated=health.gated,
        events=writer.events,
        visits=dict(writer.started),
        most_at_once=dict(most_at_once),
        age_p99_ms=status["age"]["ms_p99"],
        inference_p50_ms=status["model"]["ms_p50"],
        not_kept=writer.dropped,
    )


def together(cameras: Mapping[str, Summary]) -> Summary:
    """The summary of several cameras; of one its own."""
    each = list(cameras.values())
    if len(each) == 1:
        return each[0]
    changes: dict[str, Any] = {
        name: sum(getattr(one, name) for one in each)
        for name in ("captured", "processed", "dropped", "broken", "unreadable", "inferred", "gated")
    }
    most: dict[str, int] = {}
    for one in each:
        for label, count in one.most_at_once.items():
            most[label] = max(most.get(label, 0), count)
    for name in ("age_p99_ms", "inference_p50_ms"):
        changes[name] = max((value for one in each if (value := getattr(one, name)) is not None), default=None)
    return replace(each[0], most_at_once=most, cameras=cameras, **changes)
