"""Visits: from tracks to `start`, `update` and `end`, one visit a label at a time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from edgekit.camera.clock import Clock, FileClock, iso
from edgekit.camera.config import VisitConfig
from edgekit.camera.events.uuid7 import uuid7
from edgekit.camera.track.tracker import Track
from edgekit.camera.track.zones import Zones, centres
from edgekit.vision.results import Detections

_JUMP = 0.5  # seconds by which a clock is set and not slewed
Kind = Literal["start", "update", "end", "lost", "back"]  # the last two are of a camera, not of a visit
Reason = Literal["lost", "camera_offline", "shutdown", "crash"]

SCHEMA = "edgekit.visit/1"
_TRACKS = 200  # ids that an event lists at most, the newest
_BETTER = 0.02  # of a score, until a picture is taken again


@dataclass
class Visit:
    """From the first insect of a label to the last one. Times are monotonic seconds, and `started` is wall clock; areas
    are shares of the frame, and `area` is None where only boxes are known.
    """

    ident: str
    label: str
    start: float
    started: float
    threshold: float
    seen: float
    updated: float
    score: float = 0.0
    median: float = 0.0
    top_score: float = 0.0
    pictured: float = 0.0
    box: tuple[float, ...] = (0, 0, 0, 0)
    tracks: list[int] = field(default_factory=list)
    zones: list[str] = field(default_factory=list)
    count: int = 0
    count_max: int = 0
    area: float | None = None
    area_max: float = 0.0


@dataclass(frozen=True)
class VisitEvent:
    """What happened to a visit, at the scene's `at`, which is the wall clock's `moment` (None: by the machine's own);
    `content` is the event but for seq, device, camera, model and files."""

    kind: Kind
    ident: str
    label: str
    at: float
    content: dict[str, Any]
    moment: float | None = None


class Visits:
    """Opens and closes visits.

    Args:
        config: labels, times; none of its scores.
        threshold: a label's, for the events.
        zones: name places.
        clock: the source's.
    """

    def __init__(
        self, config: VisitConfig, threshold: dict[str, float], zones: Zones, clock: Clock | None = None
    ) -> None:
        self._config, self._threshold, self._zones = config, threshold, zones
        self._clock = clock or Clock()
        self._open: dict[str, Visit] = {}
        self._ended: dict[str, float] = {}
        self.pictured: tuple[str, ...] = ()

    @property
    def open(self) -> tuple[Visit, ...]:
        return tuple(self._open.values())

    def update(
        self, tracks: Sequence[Track], shape: tuple[int, ...], at: float, found: Detections | None = None
    ) -> list[VisitEvent]:
        """Takes the tracks that were seen in a frame. `pictured` then names the visits this frame shows best so far.

        Args:
            found: what they were made of, for the areas of a model that gives masks.
        """
        by_label: dict[str, list[Track]] = {}
        for track in tracks:
            if track.counts and (not self._config.labels or track.label in self._config.labels):
                by_label.setdefault(track.label, []).append(track)
        events, pictured = self._close(at, "lost", set(by_label)), []
        for label, seen in by_label.items():
            visit = self._open.get(label)
            begins = visit is None
            if visit is None:
                if at - self._ended.get(label, float("-inf")) < self._config.cooldown:
                    continue
                started = self._clock.wall(at)
                visit = Visit(uuid7(started), label, at, started, self._threshold[label], at, at)
                self._open[label] = visit
            more = self._take(visit, seen, shape, at)
            if found is not None and found.areas is not None:
                visit.area = float(found.areas[np.array(found.names) == label].sum())
                visit.area_max = max(visit.area_max, visit.area)
            if begins:
                events.append(self._event("start", visit, at))
            elif more or at - visit.updated >= self._config.update_every:
                visit.updated = at
                events.append(self._event("update", visit, at))
            if visit.top_score > visit.pictured + _BETTER or more:
                visit.pictured = visit.top_score
                pictured.append(visit.ident)
        for visit in self._open.values():
            if visit.label not in by_label:
                visit.count, visit.area = 0, None if visit.area is None else 0.0
        self.pictured = tuple(pictured)
        return events

    def tick(self, at: float, offline: bool) -> list[VisitEvent]:
        """Time goes by without a frame."""
        return self._close(at, "camera_offline" if offline else "lost", set())

    def close(self, at: float, reason: Reason = "shutdown") -> list[VisitEvent]:
        """Ends every visit."""
        events = [self._end(visit, at, reason) for visit in self._open.values()]
        self._open.clear()
        return events

    def _close(self, at: float, reason: Reason, seen: set[str]) -> list[VisitEvent]:
        over = [v for v in self._open.values() if v.label not in seen and at - v.seen >= self._config.end_after]
        for visit in over:
            del self._open[visit.label]
            self._ended[visit.label] = at
        return [self._end(visit, at, reason) for visit in over]

    def _take(self, visit: Visit, seen: list[Track], shape: tuple[int, ...], at: float) -> bool:
        """Whether there are more at once than ever in this visit (after its start)."""
        best = max(seen, key=lambda t: t.score)
        scale = np.array([shape[1], shape[0]] * 2, np.float64)
        visit.seen, visit.score, visit.median = at, best.score, best.median
        visit.top_score = max(visit.top_score, *(t.score for t in seen))
        visit.box = tuple(round(float(v), 5) for v in best.box / scale)
        visit.tracks = [*visit.tracks, *(t.ident for t in seen if t.ident not in visit.tracks)][-_TRACKS:]
        for track in seen:
            x, y = (centres(track.box)[0] / scale[:2]).tolist()
            visit.zones += [name for name in self._zones.names(x, y) if name not in visit.zones]
        visit.count = len(seen)
        more = visit.count > visit.count_max
        visit.count_max = max(visit.count_max, visit.count)
        return more

    def _end(self, visit: Visit, at: float, reason: Reason) -> VisitEvent:
        visit.count, visit.area = 0, None if visit.area is None else 0.0
        return self._event("end", visit, at, reason)

    def _event(self, kind: Kind, visit: Visit, at: float, reason: Reason | None = None) -> VisitEvent:
        started = self._clock.wall(visit.start)
        if not isinstance(self._clock, FileClock) and abs(started - visit.started) > _JUMP:
            visit.started = started  # the clock was set meanwhile: by what it says now both ends are right
        # a clock that was set back meanwhile, or a file that reaches beyond now, makes no event of the future
        latest = max(visit.started, min(visit.started + visit.seen - visit.start, time.time()))
        seen = iso(latest)
        content = {
            "schema": SCHEMA,
            "id": visit.ident,
            "type": kind,
            "label": visit.label,
            "start": iso(visit.started),
            "last_seen": seen,
            "end": seen if kind == "end" else None,
            "end_reason": reason,
            "clock": self._clock.state(at),
            "score": round(visit.score, 4),
            "median_score": round(visit.median, 4),
            "top_score": round(visit.top_score, 4),
            "threshold": visit.threshold,
            "box": list(visit.box),
            "tracks": list(visit.tracks),
            "zones": list(visit.zones),
            "count": visit.count,
            "count_max": visit.count_max,
        }
        if visit.area is not None:
            content |= {"area": round(visit.area, 6), "area_max": round(visit.area_max, 6)}
        return VisitEvent(kind, visit.ident, visit.label, at, content, self._clock.wall(at))
