"""Which events a delivery tells of: labels, level, hours of the day, how many visits an hour."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Literal

from pydantic import Field, field_validator

from edgekit.camera.clock import seconds_of
from edgekit.camera.deliver.base import Event
from edgekit.camera.events.levels import at_least, level_of
from edgekit.config.tables import Table

_HOUR = 3600.0
_REMEMBERED = 1000  # visits that were decided about
_SPAN = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]|24):([0-5]\d)")


class QueueKeys(Table):
    """The keys that every delivery with a queue has below its [deliver.NAME]."""

    labels: tuple[str, ...] = Field(default=(), description="that are told of; none: every one that makes visits")
    level: Literal["none", "present", "risk", "high", "paralysis"] = Field(
        default="none", description="of hornets at once, from which on a visit is told of; none: every visit"
    )
    hours: tuple[str, ...] = Field(
        default=(), description='local time in which a visit is told of, as "07:00-21:30"; also over midnight'
    )
    per_hour: int = Field(default=0, ge=0, description="visits that are told of at most; 0: all")
    once: bool = Field(default=False, description="only the first event of a visit that the rules let through")
    lost: bool = Field(default=True, description="tell of a camera that is lost, and of its return")
    keep_hours: float = Field(default=168, gt=0, le=8760, description="until an event that nobody took is given up")

    @field_validator("hours")
    @classmethod
    def _spans(cls, hours: tuple[str, ...]) -> tuple[str, ...]:
        if not all(_SPAN.fullmatch(span) and _minutes(span[6:]) <= 24 * 60 for span in hours):
            raise ValueError('times of the day, as "07:00-21:30"')
        return hours


class Rules:
    """Decides about each event once, in the order in which they happen.

    A visit is told of from the first event on that passes, and then to its end: whoever hears of a visit hears how it
    ended, though the hours are over by then.

    Args:
        keys: what was configured.
        monotonic: counts the hour of `per_hour`; another one in tests.
    """

    def __init__(self, keys: QueueKeys, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._keys, self._now = keys, monotonic
        self._told: dict[str, bool] = {}  # by visit whether it is told of; the newest last
        self._begun: deque[float] = deque()

    def take(self, event: Event) -> bool:
        """Whether this event is told."""
        if event["type"] in ("lost", "back"):
            return self._keys.lost
        ident, keys = event["id"], self._keys
        known = self._told.get(ident)
        if known:
            return not keys.once
        if not self._passes(event) or (known is None and event["type"] == "end" and event.get("end_reason") == "crash"
                                       and keys.once):  # fmt: skip
            return False
        if keys.per_hour and not self._room():
            return False
        self._begun.append(self._now())
        self._told[ident] = True
        while len(self._told) > _REMEMBERED:
            del self._told[next(iter(self._told))]
        return True

    def _passes(self, event: Event) -> bool:
        keys, label = self._keys, event["label"]
        if keys.labels and label not in keys.labels:
            return False
        if keys.level != "none":
            level = level_of(label, event.get("count_max", 0))
            if level is None or not at_least(level, keys.level):
                return False
        return not keys.hours or any(_within(span, seconds_of(event.get("last_seen"))) for span in keys.hours)

    def _room(self) -> bool:
        while self._begun and self._now() - self._begun[0] >= _HOUR:
            self._begun.popleft()
        return len(self._begun) < self._keys.per_hour


def _within(span: str, at: float) -> bool:
    """Whether wall-clock seconds are in a span of local time."""
    moment = datetime.fromtimestamp(at)
    minute = moment.hour * 60 + moment.minute
    begin, end = _minutes(span[:5]), _minutes(span[6:])
    return begin <= minute < end if begin < end else minute >= begin or minute < end


def _minutes(time_of_day: str) -> int:
    hours, _, minutes = time_of_day.partition(":")
    return int(hours) * 60 + int(minutes)
