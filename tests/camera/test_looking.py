"""What decides whether and where to look: motion, zones, tiles, crops, rate and heat."""

from pathlib import Path

import numpy as np
import pytest

from edgekit.camera.config import MotionConfig, ThermalConfig, Zone
from edgekit.camera.detect.detectors import (
    ClassifierDetector,
    SlicedDetector,
    WholeFrameDetector,
    crop_places,
    make_detector,
    merged,
    one_label_each,
    tile_places,
)
from edgekit.camera.detect.motion import Motion, MotionWatch
from edgekit.camera.rate import RateController
from edgekit.camera.thermal import ThermalLadder, hottest
from edgekit.camera.track.zones import Zones, inside
from edgekit.errors import UsageError
from edgekit.vision.image import Frame
from edgekit.vision.results import Classification, Detections
from tests.camera.conftest import at, config_of, found, spot

RNG = np.random.default_rng(0)
STILL = RNG.uniform(40, 200, (360, 640, 3))


def noisy(extra: np.ndarray | float = 0) -> Frame:
    return np.clip(STILL + RNG.normal(0, 3, STILL.shape) + extra, 0, 255).astype(np.uint8)


def with_patch(x: int, y: int, size: int) -> Frame:
    frame = noisy()
    frame[y : y + size, x : x + size] = 0
    return frame


# --- motion ---


def test_noise_is_no_motion_and_an_insect_is() -> None:
    watch = MotionWatch(MotionConfig())
    assert watch.see(noisy()).moved  # nothing is known yet
    for _ in range(20):
        assert not watch.see(noisy()).moved
    motion = watch.see(with_patch(300, 200, 24))
    assert motion.moved
    x1, y1, x2, y2 = motion.boxes[0]
    assert x1 <= 304
    assert x2 >= 320
    assert y1 <= 204
    assert y2 >= 220
    assert x2 - x1 < 60


def test_the_size_band_leaves_out_dust_and_people() -> None:
    watch = MotionWatch(MotionConfig(smallest=1.5e-3, largest=0.02))
    watch.see(noisy())
    assert not watch.see(with_patch(100, 100, 8)).moved
    assert not watch.see(with_patch(100, 60, 200)).moved
    assert watch.see(with_patch(100, 100, 40)).moved


def test_a_change_of_light_is_looked_at_and_learnt() -> None:
    watch = MotionWatch(MotionConfig())
    for _ in range(3):
        watch.see(noisy())
    assert watch.see(noisy(40)).moved
    for _ in range(8):
        last = watch.see(noisy(40))
    assert not last.moved


def test_motion_in_an_ignored_zone_does_not_count() -> None:
    grass = Zones([Zone(name="grass", use="ignore", points=((0, 0.5), (1, 0.5), (1, 1), (0, 1)))])
    watch = MotionWatch(MotionConfig())
    watch.see(noisy(), grass.unwatched())
    assert not watch.see(with_patch(300, 300, 24), grass.unwatched()).moved
    assert watch.see(with_patch(300, 60, 24), grass.unwatched()).moved


def test_another_size_begins_anew() -> None:
    watch = MotionWatch(MotionConfig())
    watch.see(noisy())
    assert watch.see(np.zeros((100, 100, 3), np.uint8)).share == 1


# --- zones ---


def test_points_in_a_polygon() -> None:
    arrow = np.array([[0, 0], [1, 0], [1, 1], [0.5, 0.5], [0, 1]])
    points = np.array([[0.5, 0.2], [0.5, 0.7], [0.1, 0.6], [1.2, 0.5]])
    assert inside(points, arrow).tolist() == [True, False, True, False]


def test_watched_and_ignored_zones() -> None:
    zones = Zones([
        Zone(name="board", use="watch", points=((0, 0.5), (1, 0.5), (1, 1), (0, 1))),
        Zone(name="grass", use="ignore", points=((0, 0.9), (1, 0.9), (1, 1), (0, 1))),
    ])  # fmt: skip
    kept = zones.kept(found(at(50, 20), at(50, 70, 0.8), at(50, 96, 0.7)), (100, 100, 3))
    assert kept.scores.tolist() == pytest.approx([0.8])
    assert kept.names == ("hornet",)
    mask = zones.unwatched()
    assert mask is not None
    assert mask.mean() == pytest.approx(0.6, abs=0.02)
    assert Zones(()).unwatched() is None


# --- detectors ---


class Spots:
    """Finds white squares; knows nothing of where a view came from."""

    def __init__(self, label: str = "hornet") -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.label = label

    def prepared(self, frame: Frame) -> Frame:
        return frame

    def detect(
        self, frames: list[Frame], threshold: float | None = None, pixels: list[Frame] | None = None
    ) -> list[Detections]:
        self.shapes += [f.shape[:2] for f in frames]
        out = []
        for f in frames:
            ys, xs = np.nonzero(f[..., 0] == 255)
            out.append(found(*([(xs.min(), ys.min(), xs.max() + 1, ys.max() + 1, 0.9, "hornet")] if len(ys) else [])))
        return out

    def classify(self, frames: list[Frame], top: int = 5) -> list[Classification]:
        self.shapes += [f.shape[:2] for f in frames]
        logits = np.zeros(2, np.float32)
        return [
            Classification(1, name, 0.95, ((name, 0.95),), logits)
            for f in frames
            for name in ("hornet" if f.max() == 255 else "nothing",)
        ]


@pytest.mark.parametrize("tiles", [(1, 1), (2, 1), (3, 2), (8, 8)])
def test_tiles_cover_the_frame_and_overlap(tiles: tuple[int, int]) -> None:
    places = tile_places(360, 640, tiles, 0.2)
    assert len(places) == tiles[0] * tiles[1]
    seen = np.zeros((360, 640), int)
    for x1, y1, x2, y2 in places:
        seen[y1:y2, x1:x2] += 1
    assert seen.min() == 1
    assert len({(x2 - x1, y2 - y1) for x1, y1, x2, y2 in places}) == 1
    assert (seen.max() > 1) == (tiles != (1, 1))


@pytest.mark.parametrize("x", [20, 300, 314, 330, 600])
def test_an_insect_on_a_seam_is_found_once_and_whole(x: int) -> None:
    frame = np.zeros((360, 640, 3), np.uint8)
    frame[100:120, x : x + 20] = 255
    model = Spots()
    seen = SlicedDetector(model, 0.1, (2, 2), 0.15).look(frame, None)
    assert seen.boxes.tolist() == [[x, 100, x + 20, 120]]
    assert len(model.shapes) == 5


def test_merging_keeps_the_best_of_each_insect() -> None:
    twice = merged([found(at(50, 50, 0.6)), found(at(51, 50, 0.8), at(50, 50, 0.7, "bee"), at(90, 90, 0.5))])
    assert twice.scores.tolist() == pytest.approx([0.8, 0.7, 0.5])
    assert len(merged([found(), found()])) == 0


def test_one_insect_has_one_label() -> None:
    kept = one_label_each(found(at(50, 50, 0.8), at(51, 50, 0.7, "bee"), at(58, 50, 0.6, "bee")))
    assert kept.scores.tolist() == pytest.approx([0.8, 0.6])


def test_a_classifier_on_the_whole_frame() -> None:
    detector = ClassifierDetector(Spots(), ("nothing", "hornet"), 0.5, ("nothing",), crops=False)
    assert detector.look(spot(50, 50), None).boxes.tolist() == [[0, 0, 160, 120]]
    assert len(detector.look(np.zeros((120, 160, 3), np.uint8), None)) == 0


def test_a_classifier_on_what_moved() -> None:
    model = Spots()
    detector = ClassifierDetector(model, ("nothing", "hornet"), 0.5, ("nothing",), crops=True)
    boxes = np.array([[44, 44, 56, 56], [130, 90, 140, 100]], np.float32)
    seen = detector.look(spot(50, 50), Motion(boxes, 0.1))
    assert seen.names == ("hornet",)
    assert seen.labels.tolist() == [1]
    assert seen.boxes[0].tolist() == [26, 26, 74, 74]
    assert model.shapes == [(48, 48), (48, 48)]
    assert len(detector.look(spot(50, 50), Motion(np.empty((0, 4), np.float32), 0))) == 0


def test_crops_stay_inside_the_frame() -> None:
    boxes = np.array([[0, 0, 10, 10], [630, 350, 640, 360], [100, 0, 540, 360]], np.float32)
    for x1, y1, x2, y2 in crop_places(boxes, 360, 640):
        assert 0 <= x1 < x2 <= 640
        assert 0 <= y1 < y2 <= 360
        assert x2 - x1 == y2 - y1


def test_absent_labels_must_be_the_models() -> None:
    for absent in (("nothin",), ("nothing", "hornet")):
        with pytest.raises(UsageError, match=r"model\.absent"):
            ClassifierDetector(Spots(), ("nothing", "hornet"), 0.5, absent, crops=False)


def test_the_eye_fits_the_model() -> None:
    class Detector(Spots):
        class spec:
            task = "detection"

    model: object = Detector()
    assert isinstance(make_detector(model, config_of(), 0.1), WholeFrameDetector)  # type: ignore[arg-type]
    assert isinstance(make_detector(model, config_of("model.tiles=[2, 2]"), 0.1), SlicedDetector)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="classifiers"):
        make_detector(model, config_of("model.crops=true"), 0.1)  # type: ignore[arg-type]


# --- rate ---


def looks(rate: RateController, seconds: float, source_fps: float, busy: bool = True, grey: int = 120) -> int:
    """How many frames of a source are looked at."""
    frame, count = np.full((32, 32, 3), grey, np.uint8), 0
    for i in range(int(seconds * source_fps)):
        now = i / source_fps
        if rate.wait(now) <= 0:
            rate.looked(now)
            rate.saw(frame, busy, now)
            count += 1
    return count


@pytest.mark.parametrize(("asked", "expected"), [(0, 400), (5, 100), (20, 400), (1, 20), (7, 140)])
def test_the_rate_that_was_asked_for(asked: float, expected: int) -> None:
    assert looks(RateController(config_of(f"rate.fps={asked}"), 0), 20, 20) == pytest.approx(expected, rel=0.08)


def test_idle_while_nothing_moves() -> None:
    rate = RateController(config_of("rate.fps=5", "rate.idle_fps=1", "rate.idle_after=10", "motion.gate=true"), 0)
    assert looks(rate, 60, 20, busy=False) == pytest.approx(10 * 5 + 50, abs=4)
    assert rate.mode == "idle"
    rate.saw(np.zeros((32, 32, 3), np.uint8), True, 60)
    assert (rate.mode, rate.fps) == ("normal", 5)


def test_night_comes_and_goes_with_hysteresis() -> None:
    rate = RateController(config_of("rate.fps=5", "rate.night_below=25", "rate.night_fps=0.5"), 0)
    dark, dusk, day = (np.full((32, 32, 3), v, np.uint8) for v in (10, 27, 60))
    rate.saw(dark, False, 0)
    rate.saw(day, False, 10)  # a hand before the lens
    assert not rate.night
    for t in (20, 30, 41):
        rate.saw(dark, False, t)
    assert (rate.mode, rate.fps) == ("night", 0.5)
    for t in (50, 60, 80):
        rate.saw(dusk, False, t)
    assert rate.night
    for t in (90, 100, 111):
        rate.saw(day, False, t)
    assert not rate.night


def test_the_ladder_goes_down_at_once_and_up_slowly() -> None:
    ladder = ThermalLadder(ThermalConfig(limits=(75, 80, 85), fps=(5, 2, 0), hysteresis=5, dwell=15))
    told = [(t, c, ladder.see(c, t), ladder.fps) for t, c in (
        (0, 60), (2, 76), (4, 74), (6, 86), (8, 79), (30, 79), (32, 74), (34, 74), (50, 74), (52, 69), (70, 69),
    )]  # fmt: skip
    assert [fps for *_, fps in told] == [None, 5, 5, 0, 0, 2, 2, 2, 5, 5, None]
    assert [changed for _, _, changed, _ in told] == [
        False,
        True,
        False,
        True,
        False,
        True,
        False,
        False,
        True,
        False,
        True,
    ]


def test_at_a_limit_nothing_flaps() -> None:
    ladder = ThermalLadder(ThermalConfig())
    changes = sum(ladder.see(75 + (i % 2) * 0.5 - 0.25, i) for i in range(1000))
    assert changes == 1


def test_heat_pauses_the_pace() -> None:
    rate = RateController(config_of(), 0)
    assert not rate.ladder.see(None, 0)
    rate.ladder.see(95, 1)
    assert (rate.mode, rate.fps, rate.wait(2)) == ("paused", 0, float("inf"))
    rate.ladder.see(70, 30)
    assert (rate.mode, rate.fps) == ("hot", 1)
    assert rate.wait(31) == 0


def test_the_hottest_zone_is_read_and_nonsense_is_left_out(tmp_path: Path) -> None:
    for i, text in enumerate(("45000", "71500", "-274000", "off", "200000")):
        zone = tmp_path / f"thermal_zone{i}"
        zone.mkdir()
        (zone / "temp").write_text(text)
    assert hottest(tmp_path) == 71.5
    assert hottest(tmp_path / "absent") is None


def test_a_late_look_is_not_made_up_for() -> None:
    """After a gap the next look is a step later, and the looks that were missed do not follow in a burst."""
    rate = RateController(config_of("rate.fps=5"), 0)
    rate.looked(0)
    assert rate.wait(0.05) == pytest.approx(0.15)
    rate.looked(0.21)  # a little late: the grid of 0.2 s holds
    assert rate.wait(0.21) == pytest.approx(0.19)
    rate.looked(3.0)  # fourteen steps late
    assert rate.wait(3.0) == pytest.approx(0.18)
    assert rate.wait(3.18) == pytest.approx(0)
    assert rate.wait(9) == 0  # never less than nothing


def test_idle_begins_with_its_second() -> None:
    rate = RateController(config_of("motion.gate=true", "rate.idle_after=10"), 0)
    for now, mode in ((9.9, "normal"), (10.0, "idle")):
        rate.saw(np.zeros((32, 32, 3), np.uint8), False, now)
        assert rate.mode == mode


def test_after_a_pause_a_look_is_due_at_once() -> None:
    rate = RateController(config_of("rate.fps=5"), 0)
    rate.looked(0)
    rate.ladder.see(95, 1)
    rate.looked(1)
    rate.ladder.see(60, 100)
    rate.ladder.see(60, 120)
    rate.ladder.see(60, 140)
    rate.ladder.see(60, 160)
    assert (rate.ladder.fps, rate.wait(160)) == (None, 0)


@pytest.mark.parametrize("seconds", [19.9, 20.0])
def test_night_comes_after_twenty_seconds_of_dusk(seconds: float) -> None:
    rate = RateController(config_of("rate.night_below=25"), 0)
    for now in (1.0, 1.0 + seconds):
        rate.saw(np.full((32, 32, 3), 24, np.uint8), False, now)
    assert rate.night == (seconds == 20.0)


def test_a_limit_of_the_grey_level_is_day() -> None:
    rate = RateController(config_of("rate.night_below=25"), 0)
    for now in range(60):
        rate.saw(np.full((32, 32, 3), 25, np.uint8), False, now)
    assert not rate.night
    rate.night = True
    for now in range(60, 120):  # and night ends above it by five levels, not at them
        rate.saw(np.full((32, 32, 3), 30, np.uint8), False, now)
    assert rate.night
