"""Fresh frames, outages, stalls, broken pictures: the feed tells the truth and never gives up."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

from edgekit.camera.config import SourceConfig
from edgekit.camera.source.feed import live as feed_module
from edgekit.camera.source.feed.backoff import Backoff
from edgekit.camera.source.feed.file import FileFeed
from edgekit.camera.source.feed.live import LiveFeed
from edgekit.camera.source.feed.make import make_feed
from edgekit.camera.source.grabber import Ended, Grabber
from edgekit.camera.source.uri import Source
from edgekit.errors import SourceError
from edgekit.vision.image import Frame
from tests.camera.conftest import HttpCamera, ListGrabber, numbered, source_of, wait_for

MakeHttp = Callable[..., HttpCamera]


def jpeg(number: int = 0, height: int = 48, width: int = 64) -> bytes:
    return cv2.imencode(".jpg", numbered(number, height, width))[1].tobytes()


def counting(height: int = 48, width: int = 64) -> Callable[[], bytes]:
    """JPEGs that differ from one another."""
    state = iter(range(10**9))
    return lambda: jpeg(next(state) * 3, height, width)


def live(grabbers: list[Grabber | BaseException], **keys: object) -> LiveFeed:
    """A live feed that opens these one after the other."""
    left = iter(grabbers)

    def opener(source: Source, config: SourceConfig) -> Grabber:
        thing = next(left)
        if isinstance(thing, BaseException):
            raise thing
        return thing

    return LiveFeed(Source("device", "/dev/null"), SourceConfig.model_validate(keys), opener, lambda _: None)


def drained(feed: FileFeed | LiveFeed) -> list[int]:
    seen = []
    try:
        while (shot := feed.next(2)) is not None:
            seen.append(shot.index)
    except Ended:
        pass
    return seen


@pytest.mark.alone
def test_a_slow_reader_gets_the_newest_frame_and_every_frame_is_accounted_for() -> None:
    feed = live([ListGrabber(x for i in range(60) for x in (0.02, numbered(i)))])
    feed.start()
    ages, seen = [], []
    try:
        while (shot := feed.next(1)) is not None:
            ages.append(time.monotonic() - shot.captured)
            seen.append(shot.index)
            time.sleep(0.1)
    except Ended:
        pass
    feed.stop()
    c = feed.counters
    assert c.captured == 60
    assert c.captured == c.processed + c.dropped
    assert len(seen) == c.processed < 45
    assert seen == sorted(seen)
    assert np.median(ages) < 0.02 + 0.1  # in a row they would become 4 s old; single ones wait for a busy machine


@pytest.mark.slow
def test_sixty_seconds_of_a_detector_of_half_a_second_stay_fresh() -> None:
    feed = live([ListGrabber(x for i in range(10**6) for x in (0.05, numbered(i)))])
    feed.start()
    times, ages = [], []
    begun = time.monotonic()
    while time.monotonic() - begun < 60:
        shot = feed.next(1)
        assert shot is not None
        time.sleep(0.5)
        times.append(time.monotonic())
        ages.append(times[-1] - shot.captured)
    feed.stop()
    assert np.percentile(ages, 99) <= 0.05 + 0.5 + 0.1
    slope = np.polyfit(times, ages, 1)[0]
    print(f"age p99 {np.percentile(ages, 99):.3f} s, slope {slope:.1e}, {feed.counters}")
    assert abs(slope) < 1e-3  # 60 ms in a minute
    c = feed.counters
    assert c.captured == c.processed + c.dropped > 1000


def test_an_old_frame_is_dropped() -> None:
    feed = live([ListGrabber([numbered(0), 10])], age_limit=0.05)
    feed.start()
    wait_for(lambda: feed.counters.captured == 1, 2)
    time.sleep(0.1)
    assert feed.next(0.01) is None
    assert feed.counters.dropped == 1


def test_a_file_loses_nothing_however_slow_the_reader_is() -> None:
    things = [numbered(0), None, *(numbered(i) for i in range(1, 20))]
    feed = FileFeed(Source("video", "x"), SourceConfig(), lambda *_: ListGrabber(things, fps=10), lambda _: None)
    feed.start()
    shots = []
    try:
        while True:
            shot = feed.next(1)
            assert shot is not None
            shots.append(shot)
            time.sleep(0.005)
    except Ended:
        pass
    feed.stop()
    assert len(shots) == 20
    assert shots[-1].at - shots[0].at == pytest.approx(2.0)  # the broken one's time passed too
    assert (feed.counters.captured, feed.counters.broken, feed.counters.dropped) == (20, 1, 0)


def test_a_files_frames_are_prepared_in_its_own_thread() -> None:
    grabber = ListGrabber([numbered(i) for i in range(5)], fps=10)
    feed = FileFeed(Source("video", "x"), SourceConfig(), lambda *_: grabber, lambda _: None)
    feed.prepare = lambda frame: (threading.current_thread().name, frame.tobytes())
    feed.start()
    shots = [feed.next(1) for _ in range(5)]
    feed.stop()
    assert [s.ready for s in shots if s] == [("camera-source", s.frame.tobytes()) for s in shots if s]


def test_a_file_that_cannot_be_opened_says_so_to_the_reader(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video")
    feed = make_feed(source_of(str(tmp_path / "a.mp4")), say=lambda _: None)
    feed.start()
    with pytest.raises(SourceError):
        feed.next(5)
    feed.stop()


def test_stopping_a_file_accounts_for_what_waited() -> None:
    feed = FileFeed(
        Source("video", "x"), SourceConfig(), lambda *_: ListGrabber(map(numbered, range(99))), lambda _: None
    )
    feed.start()
    feed.next(1)
    feed.stop()
    assert feed.counters.captured == feed.counters.processed + feed.counters.dropped


def test_the_back_off_grows_to_its_limit_and_starts_again() -> None:
    backoff = Backoff(60)
    waits = [backoff.next() for _ in range(12)]
    for i, wait in enumerate(waits):
        assert 0.8 * min(60, 2**i) <= wait <= min(60, 1.2 * 2**i)
    assert waits[-1] > 45
    assert len({round(Backoff(60).next(), 6) for _ in range(5)}) > 1
    backoff.reset()
    assert backoff.next() <= 1.2


def test_without_a_camera_it_runs_says_so_and_recovers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backoff, "next", lambda _: 0.05)
    said: list[str] = []
    feed = live([SourceError("The camera is not there."), SourceError("No."), ListGrabber([numbered(1), 5])])
    feed._say = said.append
    assert feed.state() == "connecting"
    feed.start()
    wait_for(lambda: feed.state() == "offline", 1)
    assert "not there" in feed.detail
    wait_for(lambda: feed.state() == "online", 2)
    assert feed.next(1) is not None
    assert sum("offline" in line for line in said) == 1
    assert sum("online" in line for line in said) == 1
    feed.stop()


def test_a_driver_that_raises_something_odd_does_not_end_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backoff, "next", lambda _: 0.02)
    feed = live([ListGrabber([RuntimeError("driver")]), MemoryError(), ListGrabber([numbered(1), 5])])
    feed.start()
    wait_for(lambda: feed.state() == "online", 2)
    assert feed.counters.failed == 2
    feed.stop()


def test_a_stall_is_noticed_by_the_clock_while_the_driver_hangs() -> None:
    feed = live([ListGrabber([numbered(0), 60, numbered(1)])], read_timeout=0.3)
    feed.start()
    wait_for(lambda: feed.counters.captured == 1, 1)
    assert wait_for(lambda: feed.state() == "stalled", 2) < 30
    begun = time.monotonic()
    feed.stop()
    assert time.monotonic() - begun < 30


class Hangs(Grabber):
    """One frame, then a call that returns when the test says so."""

    def __init__(self) -> None:
        self.release, self.closed, self._given = threading.Event(), False, False

    def read(self) -> Frame:
        if self._given:
            self.release.wait()
        self._given = True
        return numbered(1)

    def close(self) -> None:
        self.closed = True


def endless() -> ListGrabber:
    return ListGrabber(x for i in range(10**6) for x in (0.01, numbered(i)))


def test_a_read_that_hangs_is_left_and_the_source_opened_anew() -> None:
    hangs = Hangs()
    feed = live([hangs, endless()], read_timeout=0.1)
    feed.start()
    wait_for(lambda: feed.hangs_for > 0)
    assert feed.counters.captured == 1
    feed.renew()
    wait_for(lambda: feed.state() == "online")
    assert feed.hangs_for == 0
    assert (feed.counters.abandoned, feed.counters.opened) == (1, 2)
    captured = feed.counters.captured
    hangs.release.set()  # it comes back: what it brings is nobody's, and it closes what it had opened
    wait_for(lambda: hangs.closed)
    wait_for(lambda: feed.counters.captured > captured + 5)
    assert feed.state() == "online"
    feed.stop()


def test_an_opening_that_hangs_is_left_too() -> None:
    release, tries = threading.Event(), iter((True, False))

    def opener(*_: object) -> Grabber:
        if next(tries):
            release.wait()
        return endless()

    feed = LiveFeed(Source("device", "/dev/null"), SourceConfig(open_timeout=0.01), opener, lambda _: None)
    feed.start()
    wait_for(lambda: feed.hangs_for > 0)
    feed.renew()
    wait_for(lambda: feed.state() == "online")
    release.set()
    feed.stop()


def test_threads_that_hang_are_not_left_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "_MOST_LEFT", 2)
    monkeypatch.setattr(Backoff, "next", lambda _: 0.01)
    made = [Hangs() for _ in range(3)]
    feed = live(list(made), read_timeout=0.01)
    feed.start()
    for _ in range(2):
        wait_for(lambda: feed.hangs_for > 0)
        feed.renew()
    wait_for(lambda: feed.hangs_for > 0)
    with pytest.raises(SourceError, match="again and again"):
        feed.renew()
    for one in made:
        one.release.set()
    wait_for(lambda: all(one.closed for one in made[:2]))
    feed.stop()


def test_pictures_that_are_all_broken_are_a_lost_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backoff, "next", lambda _: 0.01)
    broken = ListGrabber(x for _ in range(10**6) for x in (0.01, None))
    feed = live([broken, ListGrabber([numbered(1), 5])], read_timeout=0.01)
    feed.start()
    assert feed.next(20) is not None
    assert broken.closed
    feed.stop()


def test_a_stream_of_a_byte_a_second_is_lost(http_camera: MakeHttp, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes within the time-out of the one before, and no picture ever does."""
    monkeypatch.setattr(Backoff, "next", lambda _: 60.0)
    camera = http_camera(lambda: b"\xff", fps=20, length=False)
    feed = http_feed(camera.uri, read_timeout=0.3)
    wait_for(lambda: "drips" in feed.detail)
    feed.stop()


def test_a_frozen_camera_is_flagged_and_opened_again() -> None:
    same = [x for _ in range(200) for x in (0.01, numbered(7))]
    feed = live([ListGrabber(same), ListGrabber(same)], frozen_after=0.5)
    feed.start()
    assert wait_for(lambda: feed.watch.frozen, 3) > 0.4
    wait_for(lambda: feed.counters.opened == 2, 3)
    wait_for(lambda: feed.state() == "frozen", 1)  # again, or still
    feed.stop()


def test_another_size_in_mid_stream_needs_no_new_connection() -> None:
    frames = [numbered(0), 0.02, numbered(1), 0.02, numbered(2, 96, 128), 0.02, numbered(3, 96, 128)]
    feed = live([ListGrabber(frames)])
    feed.start()
    shapes = set()
    try:
        while (shot := feed.next(1)) is not None:
            shapes.add(shot.frame.shape[:2])
    except Ended:
        pass
    assert shapes == {(48, 64), (96, 128)}
    assert feed.counters.opened == 1


# --- over HTTP ---


def http_feed(uri: str, **keys: object) -> LiveFeed:
    feed = make_feed(source_of(uri, **keys), say=lambda _: None)
    assert isinstance(feed, LiveFeed)
    feed.start()
    return feed


@pytest.mark.parametrize("length", [True, False])
def test_mjpeg_frames_come_one_by_one(http_camera: MakeHttp, length: bool) -> None:
    camera = http_camera(counting(), length=length)
    feed = http_feed(camera.uri)
    first, second = feed.next(3), feed.next(3)
    assert first is not None
    assert second is not None
    assert first.frame.shape == (48, 64, 3)
    assert (first.frame != second.frame).any()
    feed.stop()


def test_another_rate_in_mid_stream_needs_no_new_connection(http_camera: MakeHttp) -> None:
    camera = http_camera(counting(), fps=50)
    feed = http_feed(camera.uri)
    wait_for(lambda: feed.counters.captured >= 25, 5)
    camera.fps = 4
    before, since = feed.counters.captured, time.monotonic()
    wait_for(lambda: feed.counters.captured >= before + 6, 5)
    assert time.monotonic() - since > 1
    assert feed.state() == "online"
    camera.fps = 50
    before, since = feed.counters.captured, time.monotonic()
    wait_for(lambda: feed.counters.captured >= before + 25, 3)
    shot = feed.next(1)
    assert shot is not None
    assert time.monotonic() - shot.captured < 2  # the frames of the slow time would be older
    assert feed.counters.opened == camera.requests == 1
    feed.stop()


def test_a_third_truncated_costs_those_and_nothing_else(http_camera: MakeHttp) -> None:
    state = iter(range(10**6))

    def pictures() -> bytes:
        number = next(state)
        data = jpeg(number * 3)
        return data[: len(data) * 2 // 3] if number % 3 == 1 else data

    camera = http_camera(pictures, fps=100)
    feed = http_feed(camera.uri)
    wait_for(lambda: feed.counters.captured >= 100, 10)
    sent = feed.counters.captured + feed.counters.broken
    feed.stop()
    assert feed.counters.opened == camera.requests == 1
    assert feed.counters.captured >= 0.95 * sent * 2 / 3
    assert feed.counters.broken >= 0.9 * sent / 3


def test_user_and_password(http_camera: MakeHttp) -> None:
    camera = http_camera(counting(), user="viewer:pa55")
    feed = http_feed(camera.uri)
    assert feed.next(3) is not None
    feed.stop()
    said: list[str] = []
    wrong = make_feed(source_of(camera.uri.replace("pa55", "other-pw")), say=said.append)
    wrong.start()
    wait_for(lambda: wrong.state() == "offline", 3)
    wrong.stop()
    assert "401" in wrong.detail
    told = " ".join([*said, wrong.detail, wrong.source.shown])
    assert "other-pw" not in told
    assert "viewer" not in told


def test_a_server_that_was_killed_comes_back(http_camera: MakeHttp) -> None:
    camera = http_camera(counting())
    feed = http_feed(camera.uri, read_timeout=1)
    assert feed.next(3) is not None
    process = psutil.Process()
    held = None
    for turn in range(3):
        camera.kill()
        wait_for(lambda: feed.state() == "offline", 5)
        time.sleep(1.5)
        feed.next(0)
        captured = feed.counters.captured
        camera.start()
        wait_for(lambda: feed.counters.captured > captured, 5)  # noqa: B023 - called at once
        if turn == 0:
            held = threading.active_count(), process.num_fds()
    feed.stop()
    assert held is not None
    assert threading.active_count() <= held[0] + 1  # the server's own thread of the last connection
    assert process.num_fds() <= held[1] + 2


def test_a_camera_that_is_back_just_after_a_failed_attempt_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    waits, tries = iter([1.3, 60.0, 60.0]), []
    monkeypatch.setattr("edgekit.camera.source.feed.backoff.Backoff.next", lambda _: next(waits))
    monkeypatch.setattr("edgekit.camera.source.feed.live.reachable", lambda _: len(tries) >= 2)

    def opener(*_: object) -> ListGrabber:
        tries.append(time.monotonic())
        if len(tries) < 3:  # and after the second one it answers
            raise SourceError("The camera is not there.")
        return ListGrabber(x for i in range(10**6) for x in (0.05, numbered(i)))

    feed = make_feed(source_of("rtsp://127.0.0.1:1/x"), opener, lambda _: None)
    feed.start()
    assert feed.next(5) is not None
    feed.stop()
    assert tries[2] - tries[1] < 30  # and not 60


@pytest.mark.slow
def test_a_server_down_for_thirty_seconds_twenty_times(http_camera: MakeHttp) -> None:
    camera = http_camera(counting())
    feed = http_feed(camera.uri)
    process, held, waits = psutil.Process(), [], []
    for _ in range(20):
        wait_for(lambda: feed.state() == "online", 5)
        camera.kill()
        noticed = wait_for(lambda: feed.state() == "offline", 5)
        time.sleep(30)
        captured = feed.counters.captured
        camera.start()
        waits.append((noticed, wait_for(lambda: feed.counters.captured > captured, 5)))  # noqa: B023 - called at once
        held.append((threading.active_count(), process.num_fds()))
    feed.stop()
    longest = np.max(waits, axis=0)
    print(f"offline after at most {longest[0]:.2f} s, a frame {longest[1]:.2f} s after the return; "
          f"threads and descriptors {held[0]} .. {held[-1]}")  # fmt: skip
    assert held[-1][0] <= held[1][0] + 1
    assert held[-1][1] <= held[1][1] + 2


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_a_black_hole_is_noticed_and_left(black_hole: int, scheme: str) -> None:
    feed = http_feed(f"{scheme}://127.0.0.1:{black_hole}/x", open_timeout=1, read_timeout=1)
    assert wait_for(lambda: feed.state() == "offline", 4) < 20  # OpenCV's own limit is 30
    cpu, begun = time.process_time(), time.monotonic()
    time.sleep(1.5)
    assert (time.process_time() - cpu) / (time.monotonic() - begun) < 0.15  # a spin takes what it gets
    begun = time.monotonic()
    feed.stop()
    assert time.monotonic() - begun < 20


def test_silence_in_mid_stream_is_a_stall(http_camera: MakeHttp) -> None:
    silent = threading.Event()
    pictures = counting()

    def some() -> bytes:
        if silent.is_set():
            time.sleep(60)
        return pictures()

    camera = http_camera(some)
    feed = http_feed(camera.uri, read_timeout=1)
    assert feed.next(3) is not None
    silent.set()
    assert wait_for(lambda: feed.state() in ("stalled", "offline"), 3) < 30
    feed.stop()


def test_reminders_of_an_outage_are_rare(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backoff, "next", lambda _: 0.01)
    monkeypatch.setattr(feed_module, "_REMIND", 0.2)
    said: list[str] = []
    feed = live([SourceError("No.")] * 500)
    feed._say = said.append
    begun = time.monotonic()
    feed.start()
    wait_for(lambda: len(said) >= 2)
    feed.stop()
    assert feed.counters.failed > len(said) - 1
    assert len(said) <= 2 + (time.monotonic() - begun) / 0.2


# --- files ---


def test_a_video_file_is_read_whole_and_timed_by_its_own_rate(tmp_path: Path) -> None:
    path = tmp_path / "v.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for i in range(25):
        writer.write(numbered(i * 9))
    writer.release()
    feed = make_feed(source_of(str(path)), say=lambda _: None)
    feed.start()
    assert drained(feed) == list(range(25))  # type: ignore[arg-type]
    assert feed.fps == 10
    feed.stop()
    paced = make_feed(source_of(str(path), real_time=True), say=lambda _: None)
    begun = time.monotonic()
    paced.start()
    assert len(drained(paced)) >= 20  # type: ignore[arg-type]
    assert time.monotonic() - begun > 2.2
    assert paced.state() == "ended"
    paced.stop()
