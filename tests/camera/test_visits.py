"""Visits begin, go on and end; ids sort; counts are the most at once."""

import re
import uuid
from collections import deque

import numpy as np
import pytest

from edgekit.camera.clock import boot_id, iso, synchronised, wall
from edgekit.camera.config import VisitConfig, Zone
from edgekit.camera.events.counts import BUCKET, QuarterCounts
from edgekit.camera.events.levels import at_least, level_of, level_of_all, pressure
from edgekit.camera.events.uuid7 import uuid7
from edgekit.camera.events.visits import Visits
from edgekit.camera.track.kalman import KalmanFilter
from edgekit.camera.track.tracker import Track
from edgekit.camera.track.zones import Zones
from edgekit.vision.results import Detections

SHAPE = (100, 200, 3)
KEYS = [
    "schema",
    "id",
    "type",
    "label",
    "start",
    "last_seen",
    "end",
    "end_reason",
    "clock",
    "score",
    "median_score",
    "top_score",
    "threshold",
    "box",
    "tracks",
    "zones",
    "count",
    "count_max",
]


def track(ident: int = 1, x: float = 100, score: float = 0.9, label: str = "hornet", confirmed: bool = True) -> Track:
    box = np.array([x - 10, 40, x + 10, 60], np.float64)
    kalman = KalmanFilter.begin(x, 50, 20)
    return Track(ident, box, 20, kalman, score, 0, 0, 0, deque([score] * 3), {label: score}, score, 3, confirmed, label,
                 label, told={label} if confirmed else set())  # fmt: skip


def visits(zones: tuple[Zone, ...] = (), **keys: object) -> Visits:
    config = VisitConfig.model_validate({"end_after": 3, "cooldown": 5, **keys})
    return Visits(config, {"hornet": 0.7, "bee": 0.6}, Zones(zones))


def pieces(*areas: float, label: str = "hornet") -> Detections:
    n = len(areas)
    boxes, scores = np.tile(np.float32([0, 0, 9, 9]), (n, 1)), np.full(n, 0.9, np.float32)
    return Detections(boxes, scores, np.zeros(n, np.int64), (label,) * n, areas=np.float32(areas))


def test_the_area_of_a_mask_is_told_over_time() -> None:
    b = visits(update_every=1)
    (start,) = b.update([track()], SHAPE, 1, pieces(0.01, 0.02))
    assert list(start.content) == [*KEYS, "area", "area_max"]
    assert (start.content["area"], start.content["area_max"]) == (pytest.approx(0.03), pytest.approx(0.03))
    (more,) = b.update([track()], SHAPE, 2, pieces(0.05))
    assert (more.content["area"], more.content["area_max"]) == (pytest.approx(0.05), pytest.approx(0.05))
    (less,) = b.update([track()], SHAPE, 3, pieces(0.01))
    assert (less.content["area"], less.content["area_max"]) == (pytest.approx(0.01), pytest.approx(0.05))
    (end,) = b.update([], SHAPE, 9, pieces(0.4, label="bee"))
    assert (end.content["area"], end.content["area_max"]) == (0, pytest.approx(0.05))
    (boxes,) = b.update([track()], SHAPE, 20)
    assert "area" not in boxes.content, "of boxes it is not known"


def test_a_visit_from_start_to_end() -> None:
    b = visits()
    assert b.update([], SHAPE, 0) == []
    (start,) = b.update([track()], SHAPE, 1)
    assert (start.kind, start.label) == ("start", "hornet")
    assert list(start.content) == KEYS
    assert start.content["box"] == [0.45, 0.4, 0.55, 0.6]
    assert start.content["end"] is None
    assert start.content["threshold"] == 0.7
    assert set(start.content["clock"]) == {"synced", "boot_id", "mono"}
    assert b.update([track()], SHAPE, 2) == []
    assert b.update([], SHAPE, 4.9) == []
    (end,) = b.update([], SHAPE, 5)
    assert (end.kind, end.ident, end.content["end_reason"]) == ("end", start.ident, "lost")
    assert end.content["start"] == start.content["start"]
    assert end.content["end"] == end.content["last_seen"] > end.content["start"]
    assert (end.content["count"], end.content["count_max"]) == (0, 1)
    assert b.open == ()


def test_more_at_once_is_told_at_once_and_the_rest_now_and_then() -> None:
    b = visits(update_every=10)
    b.update([track(1)], SHAPE, 0)
    (more,) = b.update([track(1), track(2, 150)], SHAPE, 1)
    assert (more.kind, more.content["count_max"], more.content["tracks"]) == ("update", 2, [1, 2])
    assert b.update([track(1)], SHAPE, 2) == []
    (later,) = b.update([track(1)], SHAPE, 11)
    assert (later.content["count"], later.content["count_max"]) == (1, 2)


def test_each_label_has_its_own_visit_and_others_have_none() -> None:
    events = visits().update([track(1), track(2, 30, label="bee")], SHAPE, 0)
    assert sorted(n.label for n in events) == ["bee", "hornet"]
    assert [n.label for n in visits(labels=("hornet",)).update([track(1), track(2, label="bee")], SHAPE, 0)] == [
        "hornet"
    ]


def test_what_is_not_believed_makes_no_visit() -> None:
    assert visits().update([track(confirmed=False)], SHAPE, 0) == []


def test_an_event_tells_of_the_best_insect() -> None:
    (start,) = visits().update([track(1, 30, score=0.8), track(2, 70, score=0.95), track(3, 50, score=0.85)], SHAPE, 0)
    assert (start.content["score"], start.content["box"]) == (0.95, [0.3, 0.4, 0.4, 0.6])


def test_the_cool_down_keeps_the_next_visit_back() -> None:
    b = visits()
    b.update([track()], SHAPE, 0)
    b.update([], SHAPE, 3)
    assert b.update([track(2)], SHAPE, 7.9) == []
    assert [n.kind for n in b.update([track(2)], SHAPE, 8)] == ["start"]


def test_a_lost_camera_and_a_shutdown_end_visits_by_their_name() -> None:
    b = visits()
    b.update([track()], SHAPE, 0)
    assert b.tick(2, offline=True) == []
    assert b.tick(3.1, offline=True)[0].content["end_reason"] == "camera_offline"
    b.update([track()], SHAPE, 20)
    assert b.close(21)[0].content["end_reason"] == "shutdown"
    assert b.close(22) == []


def test_zones_are_named() -> None:
    zones = (Zone(name="door", points=((0.4, 0), (0.6, 0), (0.6, 1), (0.4, 1))), Zone(name="far", points=((0, 0), (0.1, 0), (0, 0.1))))  # noqa: E501 # fmt: skip
    assert visits(zones).update([track()], SHAPE, 0)[0].content["zones"] == ["door"]


def test_the_best_frame_is_pictured() -> None:
    b = visits()
    b.update([track(score=0.8)], SHAPE, 0)
    assert len(b.pictured) == 1
    b.update([track(score=0.805)], SHAPE, 1)
    assert b.pictured == ()
    b.update([track(score=0.9)], SHAPE, 2)
    assert len(b.pictured) == 1


def test_ids_are_uuids_of_version_7_that_rise() -> None:
    made = [uuid7() for _ in range(2000)] + [uuid7(1.0)]  # and when the clock is set back
    assert made == sorted(set(made))
    for text in made[:50]:
        parsed = uuid.UUID(text)
        assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    later = uuid.UUID(uuid7(4_000_000_000.123))
    assert later.int >> 80 == 4_000_000_000_123


def test_times_for_people() -> None:
    assert iso(0) == "1970-01-01T00:00:00.000Z"
    assert iso(1_700_000_000.9996) == "2023-11-14T22:13:21.000Z"
    assert wall(10) - wall(4) == pytest.approx(6, abs=0.01)
    assert boot_id() is None or re.fullmatch(r"[0-9a-f-]{36}", boot_id() or "")
    assert synchronised() in (True, False, None)


def test_counts_are_the_most_at_once_of_each_quarter() -> None:
    counts, start = QuarterCounts(), BUCKET * 1000.0
    for i, n in enumerate((0, 2, 1, 3, 0)):
        counts.see({"hornet": n}, start + i)
    counts.see({"hornet": 1}, start + BUCKET)
    most, watched = counts.take()
    assert most == [("hornet", int(start), 3), ("hornet", int(start) + BUCKET, 1)]
    assert watched == [(int(start), 4.0)]  # the gap to the next quarter was nobody's watch
    assert counts.take() == ([], [])


def test_counts_are_worth_a_write_where_more_were_seen_at_once() -> None:
    counts, start = QuarterCounts(), BUCKET * 1000.0
    risen = []
    for i, n in enumerate((0, 2, 1, 2, 3)):
        counts.see({"hornet": n}, start + i)
        risen.append(counts.risen)
        counts.take()
    assert risen == [False, True, False, False, True]
    counts.see({"hornet": 1}, start + BUCKET)
    assert counts.risen  # in a new quarter one is more than none


def test_levels_of_pressure() -> None:
    levels = {0: "none", 1: "present", 4: "present", 5: "risk", 9: "risk", 10: "high", 12: "high", 13: "paralysis"}
    assert {n: pressure(n) for n in levels} == levels
    assert level_of("Asian hornet", 5) == "risk"
    assert level_of("Vespa velutina", 1) == "present"
    assert level_of("bee", 50) is None
    assert pressure(12.5) == "high"
    assert pressure(12.6) == "paralysis"
    assert level_of_all({"Vespa crabro": 2, "Vespa velutina": 3, "bee": 50}) == "risk"
    assert level_of_all({}) == "none"
    assert at_least("high", "risk")
    assert not at_least("present", "risk")
