"""Tracks: assignment, Frigate's rule, one-frame alarms, fast insects, and the made hive's truth."""

import numpy as np
import pytest

from edgekit.camera.config import TrackConfig, VisitConfig
from edgekit.camera.events.visits import Visits
from edgekit.camera.track.assign import assign
from edgekit.camera.track.tracker import Tracker, median_score
from edgekit.camera.track.zones import Zones
from edgekit.data import HIVE_CLASSES, HiveClip
from edgekit.vision.results import Detections
from tests.camera.conftest import at, found


def tracker(min_score: float = 0.5, threshold: float = 0.7, **keys: float) -> Tracker:
    return Tracker(TrackConfig(**keys), lambda _: min_score, lambda _: threshold)  # type: ignore[arg-type]


def test_the_assignment_is_the_cheapest_there_is() -> None:
    optimize = pytest.importorskip("scipy.optimize")
    rng = np.random.default_rng(0)
    for _ in range(500):
        costs = rng.uniform(0, 5, rng.integers(1, 9, 2))
        costs[rng.random(costs.shape) < 0.4] = np.inf
        pairs = assign(costs)
        rows, columns = optimize.linear_sum_assignment(np.where(np.isfinite(costs), costs, 1e4))
        best = [(i, j) for i, j in zip(rows, columns, strict=True) if np.isfinite(costs[i, j])]
        assert len(pairs) == len(best)
        assert sum(costs[p] for p in pairs) == pytest.approx(sum(costs[p] for p in best))
        assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)


def test_nothing_to_assign() -> None:
    assert assign(np.empty((0, 3))) == []
    assert assign(np.full((2, 2), np.inf)) == []


# Frigate's documentation, "Object scores": min_score 0.6, threshold 0.85, six frames
FRIGATE = (
    ((0.0, 0.0, 0.7), 0.0, False),
    ((0.0, 0.7, 0.0), 0.0, False),
    ((0.7, 0.0, 0.85), 0.7, False),
    ((0.7, 0.85, 0.95, 0.90), 0.875, True),
    ((0.7, 0.85, 0.95, 0.90, 0.88), 0.88, True),
    ((0.7, 0.85, 0.95, 0.90, 0.88, 0.95), 0.89, True),
)


@pytest.mark.parametrize(("history", "computed", "positive"), FRIGATE)
def test_frigates_documented_example(history: tuple[float, ...], computed: float, positive: bool) -> None:
    assert median_score(history) == pytest.approx(computed)
    assert (median_score(history) >= 0.85) == positive


def test_a_track_must_have_been_surely_seen_once_where_an_alarm_asks_for_it() -> None:
    t = Tracker(TrackConfig(), lambda _: 0.3, lambda _: 0.4, lambda _: 0.6)
    for i in range(6):
        (track,) = t.update(found(at(50, 50, 0.5)), i / 5)
        assert not track.confirmed  # the median would do
    (track,) = t.update(found(at(50, 50, 0.65)), 1.2)
    assert track.confirmed
    (track,) = t.update(found(at(50, 50, 0.5)), 1.4)
    assert track.confirmed


def test_a_track_under_another_label_must_reach_what_is_asked_of_that_one() -> None:
    """A sure bee that is weakly called a hornet from some frame on is a bee's track, and no hornet's yet."""
    limits = {"bee": 0.3, "hornet": 0.6}
    t = Tracker(TrackConfig(), lambda _: 0.3, limits.__getitem__, limits.__getitem__)
    for i in range(5):
        (track,) = t.update(found(at(50, 50, 0.5, "bee")), i / 5)
    assert (track.label, track.counts) == ("bee", True)
    for i in range(5, 16):
        (track,) = t.update(found(at(50, 50, 0.4, "hornet")), i / 5)
    assert (track.label, track.counts, track.confirmed) == ("hornet", False, True)
    for i in range(16, 26):
        (track,) = t.update(found(at(50, 50, 0.7, "hornet")), i / 5)
    assert (track.label, track.counts) == ("hornet", True)


def test_a_score_below_min_score_counts_as_nothing_but_keeps_the_track() -> None:
    t = tracker(0.6, 0.85)
    scores, confirmed = (0.7, 0.55, 0.85, 0.90, 0.95, 0.90), []
    for i, score in enumerate(scores):
        (track,) = t.update(found(at(50, 50, score)), i / 5)
        confirmed.append(track.confirmed)
    np.testing.assert_allclose(track.scores, [0.7, 0, 0.85, 0.9, 0.95, 0.9], atol=1e-6)
    assert track.ident == 1
    assert confirmed == [False, False, False, False, True, True]  # medians 0, 0, .7, .775, .85, .875


@pytest.mark.parametrize(("hits", "kept"), [(2, False), (3, True)])
def test_enough_detections_make_a_track_wait_as_long_as_it_may(hits: int, kept: bool) -> None:
    t = tracker()  # three detections are enough; fewer are waited for less than half of lost_after, 1 s
    for i in range(hits):
        t.update(found(at(50, 50)), i / 10)
    t.update(found(), (hits - 1) / 10 + 0.8)
    assert bool(t.tracks) == kept


@pytest.mark.parametrize(("size", "same"), [(30, True), (31, False)])
def test_an_insect_three_times_as_large_may_be_the_same(size: int, same: bool) -> None:
    t = tracker()
    (first,) = t.update(found(at(50, 50, size=10)), 0)
    (second,) = t.update(found(at(50, 50, size=size)), 0.1)
    assert (first.ident == second.ident) == same


def test_a_weak_detection_begins_no_track() -> None:
    assert tracker().update(found(at(50, 50, 0.45)), 0) == []


def test_weak_detections_keep_a_track_for_a_while_and_where_it_is() -> None:
    t = tracker()  # min_score 0.5, lost after 1 s
    for i in range(5):
        t.update(found(at(50, 50, 0.9)), i / 5)
    assert t.update(found(at(52, 50, 0.3)), 1.0)[0].ident == 1
    assert t.update(found(at(90, 50, 0.3)), 1.2) == []  # four sizes away: a stone, and not the insect
    seen = [bool(t.update(found(at(52, 50, 0.3)), 1.4 + i / 5)) for i in range(20)]
    assert seen.index(False) == 9  # the first look after more than two seconds without a sure one is the last
    assert not any(seen[9:])


def test_two_detections_are_never_believed() -> None:
    t = tracker()
    t.update(found(at(50, 50, 1.0)), 0)
    assert not t.update(found(at(50, 50, 1.0)), 0.2)[0].confirmed
    assert t.update(found(at(50, 50, 1.0)), 0.4)[0].confirmed


def test_a_fast_hornet_keeps_its_number_without_any_overlap() -> None:
    t = tracker()
    idents = {t.update(found(at(20 + 45 * i, 60 + 4 * i)), i / 5)[0].ident for i in range(10)}
    assert idents == {1}


def test_two_that_cross_keep_their_numbers() -> None:
    t = tracker()
    for i in range(11):
        seen = t.update(found(at(20 + 20 * i, 100), at(220 - 20 * i, 104)), i / 10)
        if i == 0:
            first = {tr.ident: tr.box[0] for tr in seen}
    last = {tr.ident: tr.box[0] for tr in seen}
    assert set(first) == set(last)
    for ident, x in first.items():
        assert (x < 100) == (last[ident] > 100)


def test_a_gap_is_bridged_and_a_long_one_is_not() -> None:
    t = tracker()
    for i in range(4):
        t.update(found(at(50 + 5 * i, 50)), i / 5)
    assert t.update(found(at(85, 50)), 1.4)[0].ident == 1
    t.update(found(), 3)
    assert t.update(found(at(85, 50)), 3.2)[0].ident == 2


def test_a_label_is_the_one_of_most_score() -> None:
    t = tracker()
    for i, name in enumerate(("hornet", "bee", "hornet", "hornet", "bee")):
        (track,) = t.update(found(at(50, 50, 0.9, name)), i / 5)
    assert track.label == "hornet"
    assert track.confirmed
    assert not track.counts  # called a bee in the last frame


def test_something_of_another_size_is_another_insect() -> None:
    t = tracker()
    t.update(found(at(50, 50, size=10)), 0)
    assert t.update(found(at(50, 50, size=60)), 0.2)[0].ident == 2


def test_one_frame_alarms_for_a_day_raise_no_visit() -> None:
    rng = np.random.default_rng(3)
    frames = np.flatnonzero(rng.random(24 * 3600 * 5) < 0.01)  # 5 fps, one frame in a hundred
    assert len(frames) > 4000
    t, visits = tracker(), Visits(VisitConfig(), {"hornet": 0.7, "bee": 0.7}, Zones(()))
    for before, frame in zip((-9, *frames.tolist()), frames.tolist(), strict=False):
        for empty in range(max(before + 1, frame - 3), frame):
            t.update(found(), empty / 5)  # more of them change nothing
        x, y = rng.uniform(20, 620), rng.uniform(20, 340)
        tracks = t.update(found(at(x, y, float(rng.uniform(0.7, 1)), size=float(rng.uniform(15, 40)))), frame / 5)
        assert visits.update(tracks, (360, 640, 3), frame / 5) == []


@pytest.mark.parametrize(("fps", "frames", "switches"), [(20, 500, 0.05), (10, 300, 0.12)])
def test_tracks_and_counts_of_the_made_hive(fps: float, frames: int, switches: float) -> None:
    rng, clip = np.random.default_rng(0), HiveClip(4, fps, 180, 320)
    t = tracker(0.4, 0.5)
    last: dict[int, int] = {}
    changed = matched = most_true = most_found = 0
    for i in range(frames):
        truth = clip.frame(i)
        insects = [
            (HIVE_CLASSES[label], int(ident), *map(float, box))
            for box, label, ident in zip(truth.boxes, truth.labels, truth.ids, strict=True)
        ]
        kept = [row for row in insects if rng.random() > 0.15]  # 15 % are missed
        rows = [
            (x1 + rng.normal(0, s), y1 + rng.normal(0, s), x2 + rng.normal(0, s), y2 + rng.normal(0, s),
             float(rng.uniform(0.45, 0.9)), kind)
            for kind, _, x1, y1, x2, y2 in kept if (s := 0.08 * np.sqrt((x2 - x1) * (y2 - y1))) > 0
        ]  # fmt: skip
        detections = found(*rows)
        seen = t.update(detections, i / fps)
        for track in seen:
            j = int(np.argmin([np.abs(np.array(row[:4]) - track.box).sum() for row in rows]))
            ident = kept[j][1]
            changed += last.get(ident, track.ident) != track.ident
            matched += 1
            last[ident] = track.ident
        most_true = max(most_true, sum(kind == "hornet" for kind, *_ in insects))
        most_found = max(most_found, sum(tr.counts and tr.label == "hornet" for tr in seen))
    print(f"{changed} of {matched} id switches ({changed / matched:.1%}), hornets at once {most_found} of {most_true}")
    assert matched > 1000
    assert changed / matched < switches
    assert abs(most_found - most_true) <= 1


def test_detections_of_an_empty_frame() -> None:
    t = tracker()
    assert (
        t.update(Detections(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64), ()), 0) == []
    )
    assert list(t.tracks) == []
